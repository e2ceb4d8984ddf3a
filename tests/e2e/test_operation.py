"""What an operator does with a running service, and what may happen to its jobs meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, RunningService, wait_for
from tests.e2e.penguins import INSTANCES, KNOWN_CSV, train_job
from tests.follow import blocks

OWN_MODEL = ROOT / "docs" / "how-to" / "own-model-fn.md"
PAGE = {block.info.partition(" ")[2]: block.text for block in blocks(OWN_MODEL)}


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose operator installed the `model_fn` of the page about it; quick to try again."""
    folder = tmp_path_factory.mktemp("own")
    installed = folder / "installed"
    (folder / "own-models").mkdir()
    for name in ("own_models.py", "pyproject.toml"):
        (folder / "own-models" / name).write_text(PAGE[name])
    command = "python -m pip install --no-deps --target=installed ./own-models"
    assert f"    {command}\n" in OWN_MODEL.read_text()
    # what a package is built with is in the lock file; pip would fetch it
    offline = [sys.executable, *command.split()[1:], "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(offline, cwd=folder, capture_output=True, check=True, timeout=60)
    quick = {"HEARTBEAT_S": "0.2", "RETRY_BACKOFF_S": "0.1", "RESEND_AFTER_S": "1", "RECONCILE_S": "0.3"}
    embedded = {"DATABASE_URL": "", "REDIS_URL": "", "PYTHONPATH": str(installed)}
    running = RunningService(tmp_path_factory.mktemp("service"), quick | embedded)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def penguins(operated: RunningService) -> str:
    return operated.dataset("penguins", KNOWN_CSV)


def steps(service: RunningService, job_id: str) -> list[int]:
    return [row["step"] for row in service.get(f"/v1/jobs/{job_id}/checkpoints")["checkpoints"]]


def losses(service: RunningService, job_id: str) -> Any:
    return service.get(f"/v1/jobs/{job_id}/metrics?name=loss&limit=10000")


def test_model_fn_of_the_operator_is_trained_and_served(operated: RunningService) -> None:
    entries = wait_for(lambda: operated.get("/v1/estimators").get("catalogue"), "the catalogue")
    assert "line" in str(entries)
    csv = "x,y\n" + "".join(f"{x / 10},{2 * x / 10 + 1}\n" for x in range(-20, 20))
    operated.dataset("line", csv.encode())
    operated.succeeded(operated.submit(json.loads(PAGE["own-model-job"])))
    answer = operated.http.post("/v1/models/line:predict", json={"instances": [{"x": 0.5}, {"x": -1.0}]})
    assert answer.status_code == 200, answer.text
    # y = 2 x + 1
    found = [row["y"][0] if isinstance(row, dict) else row[0] for row in answer.json()["predictions"]]
    assert found == pytest.approx([2.0, -1.0], abs=0.02)


def test_drained_job_checkpoints_and_goes_on_from_there(operated: RunningService, penguins: str) -> None:
    changes: dict[str, Any] = {"promote": None, "export": "none"}
    body = train_job(penguins, "drained", 10**9, **changes)
    body["train"]["save_checkpoints_steps"] = 10**8  # none is written but for the drain
    job_id = operated.submit(body)
    wait_for(lambda: operated.job(job_id)["progress"].get("step", 0) > 500, "some steps")

    answer = operated.http.post("/v1/drain")
    assert (answer.status_code, answer.json()["jobs"]) == (202, 1)

    def resumed() -> dict[str, Any] | None:
        job = operated.job(job_id)
        return job if len(job["attempts"]) == 2 and job["state"] == "RUNNING" else None

    job = wait_for(resumed, "the second attempt")
    first, second = job["attempts"]
    assert first["state"] == "DRAINED"
    assert steps(operated, job_id)[0] == second["resumed_from_step"] > 500
    assert (job["counted_attempts"], job["error"]) == (0, None)
    assert operated.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert operated.finished(job_id)["state"] == "CANCELLED"


def test_refused_promotion_says_why_and_leaves_the_label(operated: RunningService, penguins: str) -> None:
    operated.succeeded(operated.submit(train_job(penguins, "gated", 300)))
    gate = {"label": "latest", "when": {"metric": "accuracy", "at_least": 1.01}}
    operated.succeeded(operated.submit(train_job(penguins, "gated", 300, promote=gate)))

    version = operated.get("/v1/models/gated/versions/2")["versions"][0]
    assert version["state"] == "REFUSED"
    assert "accuracy" in version["reason"]
    assert "1.01" in version["reason"]
    answer = operated.http.post("/v1/models/gated:predict", json={"instances": INSTANCES[:2]})
    assert answer.headers["x-model-version"] == "1"
    put = operated.http.put("/v1/models/gated/labels/latest", json={"version": 2})
    assert put.status_code == 409


def test_job_killed_five_times_has_the_series_of_an_undisturbed_one(operated: RunningService, penguins: str) -> None:
    body = train_job(penguins, "killed", 30_000, promote=None, export="none")
    undisturbed, disturbed = operated.submit(body), operated.submit(body)
    operated.succeeded(undisturbed)
    for kill in range(5):
        seen = steps(operated, disturbed)
        wait_for(lambda seen=seen: max(steps(operated, disturbed), default=0) > max(seen, default=0), f"kill {kill}")
        for trainer in operated.processes("workers.trainer"):
            trainer.kill()
    job = operated.succeeded(disturbed)
    assert [attempt["state"] for attempt in job["attempts"]] == ["LOST"] * 5 + ["SUCCEEDED"]
    assert losses(operated, disturbed) == losses(operated, undisturbed)
