"""The dashboard for Grafana: each of its queries is asked of a real Prometheus that scrapes a real service."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.conftest import RunningService, wait_for
from tests.e2e.penguins import INSTANCES, KNOWN_CSV, train_job
from tests.ports import free_port
from tests.tied import tied

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = shutil.which("prometheus")


def panels() -> list[dict[str, Any]]:
    made = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())["panels"]
    return [panel for panel in made if panel["type"] != "row"]


def queries() -> list[str]:
    """Of all panels, as Grafana sends them for all models and a short time."""
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [expression.replace("$__rate_interval", "1m").replace("$model", ".*") for expression in expressions]


def test_panels_have_titles_of_their_own_and_do_not_overlap() -> None:
    titles = [panel["title"] for panel in panels() if panel["type"] == "timeseries"]
    assert len(titles) == len(set(titles)) > 10
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_grafana_is_given_the_dashboard_and_its_data_source() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "estimator.yaml").read_text())["providers"]
    services = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]
    assert source["url"] == "http://prometheus:9090"
    assert {services[name]["profiles"][0] for name in ("prometheus", "grafana")} == {"monitoring"}
    mounted = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"] if volume.startswith("./"))
    assert mounted["./deploy/grafana/dashboard.json"].startswith(provider["options"]["path"] + "/")
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"


@contextmanager
def prometheus(directory: Path, service: RunningService) -> Iterator[httpx.Client]:
    """A Prometheus with the configuration of the compose file, but for the address, the token and the pace."""
    directory.mkdir()
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (scraped,) = settings["scrape_configs"]
    scraped["static_configs"] = [{"targets": [service.address.removeprefix("http://")]}]
    scraped["authorization"]["credentials_file"] = str(service.data_dir.resolve() / "admin-token")
    settings["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in settings["rule_files"]]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port = free_port()
    assert PROMETHEUS is not None
    options = [f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            tied([PROMETHEUS, *options, f"--web.listen-address=127.0.0.1:{port}"]), stdout=log, stderr=log
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as http:
            yield http
    finally:
        process.terminate()
        process.wait(30)


def values(http: httpx.Client, query: str) -> list[float]:
    """What the query gives now; numbers only."""
    try:
        answer = http.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:  # it starts
        return []
    if answer.status_code == 503:
        return []
    assert answer.status_code == 200, f"{query}: {answer.text}"
    found = [float(series["value"][1]) for series in answer.json()["data"]["result"]]
    return [value for value in found if value == value]  # NaN: nothing happened in that time


@pytest.mark.skipif(PROMETHEUS is None, reason="needs prometheus, of Debian's package of that name")
def test_every_query_of_the_dashboard_finds_what_the_service_tells(tmp_path: Path, service: RunningService) -> None:
    with prometheus(tmp_path / "prometheus", service) as http:
        dataset = service.dataset("penguins", KNOWN_CSV)
        service.succeeded(service.submit(train_job(dataset, "watched", 200)))
        runs = service.submit(train_job(dataset, "watched", 10_000_000, promote=None))
        waits = service.submit(train_job(dataset, "watched", 200, promote=None))
        missing = queries()

        def all_found() -> bool:
            service.http.post("/v1/models/watched:predict", json={"instances": INSTANCES})
            service.http.post("/v1/models/watched:predict", json={"instances": [{"unknown": 1}]})
            missing[:] = [query for query in missing if not values(http, query)]
            return not missing

        try:
            wait_for(all_found, "an answer to each query", 90)
        except AssertionError:
            raise AssertionError(f"no value of {missing}") from None
        assert values(http, "sum(rate(serving_requests_total[1m]))")[0] > 0
        assert values(http, 'sum(jobs{state="RUNNING"})') == [1]
        assert values(http, 'up{job=~".*estimator.*"}') == [1]
    for job in (waits, runs):
        service.http.post(f"/v1/jobs/{job}/cancel")
