"""Every command that the documentation shows is run by a test. A new one needs a line in `RUN_BY`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from app.errors import Unavailable
from app.object_store.bucket import Bucket
from tests import seaweedfs
from tests.documented import ROOT, compose, on_pages, variables, words
from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for
from workers.service.broker import find_server

_PARTS = "tests/e2e/test_documented_commands.py::test_parts_started_by_documented_commands_train_and_predict"
_SCRIPT = "tests/e2e/test_documented_commands.py::test_script_of_the_readme_does_what_it_says"
_BENCHMARK = "tests/test_documented_commands.py::test_benchmark_takes_the_documented_arguments"
_PROFILE = "tests/test_documented_commands.py::test_parts_of_a_profile_want_their_secret"

RUN_BY = {
    "celery -A workers.celery_app worker --pool=prefork --concurrency=1": _PARTS,
    "docker build --target": "tests/deploy/test_kubernetes.py::test_images_are_the_dockerfile_s",  # its targets
    "docker compose --profile gpu up --build": "tests/deploy/test_kubernetes.py",  # the file's parts; there is no GPU
    "docker compose --profile rabbitmq up": _PROFILE,
    "docker compose --profile monitoring up": _PROFILE,
    "docker compose --profile store up": _PROFILE,
    "docker compose up --build": _PARTS,  # each command of the file, without containers
    "python -m app.lanes": _PARTS,
    "estimator-service ": "tests/docs/test_cli.py",  # and the stories in tests/e2e
    "python -m pip install --no-deps --target=installed ./own-models": "tests/e2e/test_operation.py",
    "python -m migrations": "tests/deploy/test_migrate.py",
    "python -m tests.upgrade.record": "tests/upgrade/test_upgrade.py",
    "python -m tf_estimator.doctor": "tests/estimator/doctor/test_doctor.py",
    "python -m workers.estimator_json.schema": "tests/workers/estimator_json/test_schema.py",
    "python -m workers.on_ray": "tests/workers/on_ray/test_ray.py",
    "python -m workers.reconciler": _PARTS,
    "python -m workers.sweep": "tests/workers/test_sweep.py",
    "python3 -c 'import sqlite3": "tests/test_operations.py",
    "scripts/api_table.py": "tests/estimator/test_documents.py",
    "scripts/bench": _BENCHMARK,
    "scripts/azurite": "tests/object_store/test_object_storage.py",
    "scripts/browser": "tests/test_scripts.py",
    "scripts/build": "tests/packages/test_wheels.py",
    "scripts/chaos": "tests/chaos/test_run.py::test_five_jobs_survive_every_kind_of_fault",
    "scripts/check": "tests/test_scripts.py",
    "scripts/cluster-test": "tests/chaos/test_cluster_parts.py",  # its parts: a run takes minutes
    "scripts/demo": _SCRIPT,
    "scripts/docs": "tests/docs/test_site.py",
    "scripts/pictures": "tests/docs/test_pictures.py",
    "scripts/screenshots": "tests/docs/test_pictures.py",
    "scripts/dependencies.py": "tests/test_scripts.py",
    "scripts/flaky": "tests/test_flaky.py",
    "scripts/record_corpus": "tests/estimator/test_corpus.py",
    "scripts/symbol_table.py": "tests/estimator/compat/test_symbols.py",
    "sqlite3 registry.db .dump": "tests/registry/test_damage.py",
    "scripts/dev": "tests/test_scripts.py",
    "scripts/estimator-service": "tests/e2e/test_command_line.py",
    "scripts/job_reference": "tests/api/test_job_reference.py",
    "scripts/openapi": "tests/api/test_openapi.py",
    "scripts/ray": "tests/workers/on_ray/test_ray.py",
    "scripts/serve": _SCRIPT,
    "scripts/serving-clients": "tests/test_scripts.py",
    "scripts/sync_client.py": "tests/client/test_sync_client.py",
    "scripts/test": "tests/test_scripts.py",
    "scripts/web": "tests/test_scripts.py",
    "sqlite3 -readonly data/registry.db": "tests/test_operations.py",
    "tensorboard --logdir": "tests/workers/trainer/test_runner.py::test_tensorboard_reads_every_job",
}


def test_every_documented_command_is_run_by_a_test() -> None:
    commands = on_pages()
    assert len(commands) > 20
    missing = {command: pages for command, pages in commands.items() if not command.startswith(tuple(RUN_BY))}
    assert missing == {}


def test_variables_in_front_of_commands_are_settings() -> None:
    known = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    assert variables() - known == {"PATH", "PYTHONPATH", "TOKEN"}


@pytest.mark.parametrize("named", sorted(set(RUN_BY.values())))
def test_tests_that_run_the_commands_exist(named: str) -> None:
    file, _, function = named.partition("::")
    assert re.search(rf"^def {function or 'test_'}", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", sorted(command for command in on_pages() if command.startswith("scripts/bench ")))
def test_benchmark_takes_the_documented_arguments(command: str) -> None:
    """The benchmarks themselves take minutes; here their command lines are read."""
    _, name, *arguments = words(command.replace("[", "").replace("]", ""))
    script = ROOT / "benchmarks" / f"{name}.py"
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, cwd=ROOT, check=True)
    for argument in arguments:
        assert argument in shown.stdout or argument.isdigit()


def test_compose_file_asks_for_every_secret_and_has_none_of_its_own() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    uses = re.findall(r"(?<!\$)\$\{(\w*PASSWORD\w*)([^}]*)\}", text)
    assert {name for name, _ in uses} == {
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "RABBITMQ_PASSWORD",
        "GRAFANA_PASSWORD",
    }
    # The file is read as a whole: what a profile asks for is asked for when its part starts.
    always = [rest for name, rest in uses if name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD")]
    assert all(rest.startswith(":?") and len(rest) > 2 for rest in always)
    services = compose()["services"]
    assert {"POSTGRES_PASSWORD"} <= services["postgres"]["environment"].keys()
    for name in ("api", "worker", "reconciler"):
        assert "${REDIS_PASSWORD:?" in services[name]["environment"]["BROKER_URL"]
        assert "${POSTGRES_PASSWORD:?" in services[name]["environment"]["DATABASE_URL"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize(
    ("part", "profile", "asked", "variable", "program"),
    [
        ("rabbitmq", "rabbitmq", "RABBITMQ_PASSWORD", "RABBITMQ_DEFAULT_PASS", "docker-entrypoint.sh"),
        ("prometheus", "monitoring", "METRICS_TOKEN", "METRICS_TOKEN", "prometheus"),
        ("grafana", "monitoring", "GRAFANA_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD", "run.sh"),
        ("store", "store", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "weed"),
    ],
)
def test_parts_of_a_profile_want_their_secret(
    tmp_path: Path, part: str, profile: str, asked: str, variable: str, program: str
) -> None:
    service = compose()["services"][part]
    assert service["profiles"] == [profile]
    assert service["environment"][variable] == f"${{{asked}:-}}"
    shell, option, script = service["entrypoint"]
    (tmp_path / program).write_text("#!/bin/sh\necho starts\n")
    (tmp_path / program).chmod(0o755)
    script = script.replace("$$", "$").replace("/run.sh", "run.sh").replace("/tmp/", f"{tmp_path}/")
    for secret, said in (("a1b2c3", "starts\n"), ("", "")):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", variable: secret}
        run = subprocess.run([shell, option, script], env=environment, capture_output=True, text=True, check=False)
        assert (run.stdout, f"Set {asked}" in run.stderr) == (said, not secret)


@pytest.mark.skipif(seaweedfs.find() is None, reason="needs weed, SeaweedFS' program (scripts/cluster-test has it)")
def test_store_of_the_compose_file_takes_artifacts_of_who_has_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = compose()["services"]
    shell, option, script = services["store"]["entrypoint"]
    used = services["api"]["environment"]
    assert used["AWS_ENDPOINT_URL"] == "${AWS_ENDPOINT_URL:-http://store:8333}"
    assert used.items() >= {name: services["store"]["environment"][name] for name in seaweedfs.KEYS}.items()
    (tmp_path / "data").mkdir()
    script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/").replace("-dir=/data", f"-dir={tmp_path}/data")
    with seaweedfs.running([shell, option, script], tmp_path) as endpoint:
        for name, value in seaweedfs.KEYS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        path, health = services["store"]["healthcheck"]["test"][1].rsplit("/", 1)
        assert path.endswith("//127.0.0.1:8333")
        wait_for(lambda: seaweedfs.answers(f"{endpoint}/{health}"), "the store")
        bucket = Bucket("s3://artifacts/estimator")
        assert bucket.create("probe", b"first")
        assert not bucket.create("probe", b"second")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        with pytest.raises(Unavailable, match="refuses this service"):
            Bucket("s3://artifacts/estimator", patience_s=0.1).create("other", b"x")


def test_redis_of_the_compose_file_answers_with_its_password_only(tmp_path: Path) -> None:
    port = free_port()
    shell, option, script = compose()["services"]["redis"]["command"]
    script = script.replace("$$", "$").replace("redis-server - ", f"exec {find_server()} - --port {port} ")
    environment = {**os.environ, "REDIS_PASSWORD": "a1b2c3"}
    server = subprocess.Popen(
        tied([shell, option, script]), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        with redis.Redis(port=port, password="a1b2c3") as known, redis.Redis(port=port) as stranger:

            def answers() -> bool:
                try:
                    return bool(known.ping())
                except redis.ConnectionError:
                    return False

            wait_for(answers)
            with pytest.raises(redis.AuthenticationError):
                stranger.ping()
            found = known.config_get("append*", "maxmemory-policy", "save")
            assert (found["appendonly"], found["maxmemory-policy"], found["save"]) == ("yes", "noeviction", "")
            assert b"a1b2c3" not in b"".join(path.read_bytes() for path in _command_lines(server.pid))
            known.shutdown(nosave=True)
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()


def _command_lines(pid: int) -> list[Path]:
    """Of a process and what it started."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [Path(f"/proc/{number}/cmdline") for number in (pid, *children)]
