"""The manifests: built by kubectl, checked against the schemas of Kubernetes, and against what the service is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from app.object_store.bucket import Bucket

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "kubernetes"
BIN = Path(sys.executable).parent
OVERLAYS = ("cpu", "gpu", "one-node", "gpu-object-store")
#: Variables of the object store's client; `Settings` does not know them.
STORE_S_OWN = {"AWS_REGION", "AWS_ENDPOINT_URL"}
#: Kinds of operators that a cluster may have; their schemas are not Kubernetes' own.
CUSTOM = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"}
Manifest = dict[str, Any]

pytestmark = pytest.mark.skipif(not (BIN / "kubectl").exists(), reason="kubectl has no package for this system")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """What each overlay gives, with the secrets of the example."""
    copy = tmp_path_factory.mktemp("deploy") / "kubernetes"
    shutil.copytree(DEPLOY, copy)
    example = copy / "overlays" / "one-node" / "secrets.env.example"
    shutil.copy(example, example.with_suffix(""))
    with_store = copy / "overlays" / "gpu-object-store" / "kustomization.yaml"  # as the component says
    with_store.parent.mkdir()
    with_store.write_text("resources: [../gpu]\ncomponents: [../../components/object-store]\n")
    found = {}
    for overlay in OVERLAYS:
        command = [str(BIN / "kubectl"), "kustomize", str(copy / "overlays" / overlay)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr
        found[overlay] = list(yaml.safe_load_all(done.stdout))
    return found


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and pod template of everything that runs."""
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_what_kubernetes_takes(built: dict[str, list[Manifest]], overlay: str, tmp_path: Path) -> None:
    kinds = [manifest["kind"] for manifest in built[overlay]]
    assert {"Deployment", "Job", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= set(kinds)
    own = [manifest for manifest in built[overlay] if manifest["kind"] not in CUSTOM]
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(own))
    command = [str(BIN / "kubernetes-validate"), "--strict", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_type_is_found(built: dict[str, list[Manifest]], tmp_path: Path) -> None:
    (api,) = [m for m in built["cpu"] if m["kind"] == "Deployment" and m["metadata"]["name"] == "estimator-api"]
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(api | {"spec": api["spec"] | {"replicas": "two"}}))
    command = [str(BIN / "kubernetes-validate"), "--strict", str(file)]
    assert subprocess.run(command, capture_output=True, timeout=500, check=False).returncode != 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_run_without_privileges(built: dict[str, list[Manifest]], overlay: str) -> None:
    for name, pod in pods(built[overlay]):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["automountServiceAccountToken"] is False, name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name
            if container["image"].startswith("estimator-service"):
                assert security["readOnlyRootFilesystem"] is True, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_of_the_manifests_are_settings_of_the_service(built: dict[str, list[Manifest]], overlay: str) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for manifest in built[overlay]:
        if manifest["kind"] == "ConfigMap":
            assert set(manifest["data"]) - STORE_S_OWN <= known
    for name, pod in pods(built[overlay]):
        for container in pod["spec"]["containers"]:
            if container["image"].startswith("estimator-service"):
                assert {entry["name"] for entry in container.get("env", [])} <= known, name


def test_worker_ends_within_its_grace(built: dict[str, list[Manifest]]) -> None:
    for overlay, manifests in built.items():
        (settings,) = [m["data"] for m in manifests if m["kind"] == "ConfigMap"]
        for name, pod in pods(manifests):
            if name.startswith("estimator-worker"):
                grace = pod["spec"]["terminationGracePeriodSeconds"]
                assert grace >= float(settings["GRACE_S"]) + 10, (overlay, name)


def test_with_an_object_store_pods_share_no_volume_and_have_a_cache(built: dict[str, list[Manifest]]) -> None:
    manifests = built["gpu-object-store"]
    assert "PersistentVolumeClaim" in {manifest["kind"] for manifest in built["gpu"]}
    assert "PersistentVolumeClaim" not in {manifest["kind"] for manifest in manifests}
    (settings,) = [m["data"] for m in manifests if m["kind"] == "ConfigMap"]
    made = Settings(artifacts_url=settings["ARTIFACTS_URL"], cache_dir=settings["CACHE_DIR"])
    Bucket(made.artifacts)  # raises where the address names no store
    names = set()
    for name, pod in pods(manifests):
        names.add(name)
        (container,) = pod["spec"]["containers"]
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert volumes[mounted[settings["DATA_DIR"]]] == {"name": "data", "emptyDir": {}}, name
        if name == "estimator-migrate":  # reads and writes the registry only
            continue
        cache = volumes[mounted[str(made.cache_directory)]]["emptyDir"]
        assert int(cache["sizeLimit"].removesuffix("Gi")) * 2**30 > int(settings["CACHE_BYTES"]), name
        secrets = [one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one]
        assert secrets == ["estimator-service", "estimator-store"], name
    assert names >= {"estimator-api", "estimator-worker", "estimator-worker-gpu", "estimator-reconciler"}
    egress = [m["spec"].get("egress", []) for m in manifests if m["kind"] == "NetworkPolicy"]
    open_ports = {port["port"] for rules in egress for rule in rules for port in rule.get("ports", [])}
    assert {443, 5432, 6379} <= open_ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_workers_reach_each_other_and_nobody_else_reaches_them(built: dict[str, list[Manifest]], overlay: str) -> None:
    """Those that train one job together listen on ports that are free when it starts."""
    role = {"app.kubernetes.io/component": "worker"}
    for name, pod in pods(built[overlay]):
        assert (role.items() <= pod["metadata"]["labels"].items()) == name.startswith("estimator-worker"), name
    policies = [m["spec"] for m in built[overlay] if m["kind"] == "NetworkPolicy"]
    (own,) = [spec for spec in policies if spec["podSelector"]["matchLabels"] == role]
    assert own["ingress"] == [{"from": [{"podSelector": {"matchLabels": role}}]}]
    assert own["egress"] == [{"to": [{"podSelector": {"matchLabels": role}}]}]


def test_gpu_workers_serve_their_own_queue_with_one_gpu_each(built: dict[str, list[Manifest]]) -> None:
    container = dict(pods(built["gpu"]))["estimator-worker-gpu"]["spec"]["containers"][0]
    assert container["image"] == "estimator-service:gpu"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "QUEUES", "value": "gpu"} in container["env"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_their_pods(built: dict[str, list[Manifest]], overlay: str) -> None:
    labels = [pod["metadata"]["labels"] for _, pod in pods(built[overlay])]

    def found(selector: dict[str, str]) -> bool:
        return any(selector.items() <= one.items() for one in labels)

    for manifest in built[overlay]:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Service":
            assert found(spec["selector"]), manifest["metadata"]["name"]
        if manifest["kind"] in {"NetworkPolicy", "PodDisruptionBudget"}:
            assert found(spec.get("podSelector", spec.get("selector"))["matchLabels"]), manifest["metadata"]["name"]


def test_probes_ask_what_the_service_answers(built: dict[str, list[Manifest]], tmp_path: Path) -> None:
    container = dict(pods(built["cpu"]))["estimator-api"]["spec"]["containers"][0]
    asked = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"/healthz", "/readyz"}
    assert asked <= set(documented_paths())
    assert container["ports"] == [{"name": "http", "containerPort": Settings(port=8000).port}]


def documented_paths() -> list[str]:
    import json

    return list(json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"])


def test_scaling_query_counts_jobs_in_the_registry(built: dict[str, list[Manifest]], migrated_sqlite: Path) -> None:
    import sqlite3

    (scaled,) = [manifest for manifest in built["cpu"] if manifest["kind"] == "ScaledObject"]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    with sqlite3.connect(migrated_sqlite) as registry:
        assert registry.execute(query).fetchone() == (0,)


def test_alert_rules_are_those_of_prometheus(built: dict[str, list[Manifest]]) -> None:
    (wrapped,) = [manifest for manifest in built["cpu"] if manifest["kind"] == "PrometheusRule"]
    plain = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
    assert wrapped["spec"] == plain


def test_images_are_the_dockerfile_s(built: dict[str, list[Manifest]]) -> None:
    targets = re.findall(r"^FROM service AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    used = {c["image"] for m in built.values() for _, pod in pods(m) for c in pod["spec"]["containers"]}
    assert {image for image in used if image.startswith("estimator-service")} == {
        f"estimator-service:{target}"
        for target in targets
        if target != "ray"  # for clusters that are run by others
    }
