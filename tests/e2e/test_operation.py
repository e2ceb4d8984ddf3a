"""What an operator does with a running service, and what may happen to its jobs meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import OWN_MODEL_BLOCKS, RunningService
from tests.e2e.penguins import INSTANCES, KNOWN_CSV, train_job
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def penguins(embedded: RunningService) -> str:
    return embedded.dataset("penguins", KNOWN_CSV)


def steps(service: RunningService, job_id: str) -> list[int]:
    return [row["step"] for row in service.get(f"/v1/jobs/{job_id}/checkpoints")["checkpoints"]]


def losses(service: RunningService, job_id: str) -> Any:
    return service.get(f"/v1/jobs/{job_id}/metrics?name=loss&limit=10000")


def test_model_fn_of_the_operator_is_trained_and_served(embedded: RunningService) -> None:
    entries = wait_for(lambda: embedded.get("/v1/estimators").get("catalogue"), "the catalogue")
    assert "line" in str(entries)
    csv = "x,y\n" + "".join(f"{x / 10},{2 * x / 10 + 1}\n" for x in range(-20, 20))
    embedded.dataset("line", csv.encode())
    embedded.succeeded(embedded.submit(json.loads(OWN_MODEL_BLOCKS["own-model-job"])))
    answer = embedded.http.post("/v1/models/line:predict", json={"instances": [{"x": 0.5}, {"x": -1.0}]})
    assert answer.status_code == 200, answer.text
    # y = 2 x + 1
    found = [row["y"][0] if isinstance(row, dict) else row[0] for row in answer.json()["predictions"]]
    assert found == pytest.approx([2.0, -1.0], abs=0.02)


def test_drained_job_checkpoints_and_goes_on_from_there(embedded: RunningService, penguins: str) -> None:
    changes: dict[str, Any] = {"promote": None, "export": "none"}
    body = train_job(penguins, "drained", 10**9, **changes)
    body["train"]["save_checkpoints_steps"] = 10**8  # none is written but for the drain
    job_id = embedded.submit(body)
    wait_for(lambda: embedded.job(job_id)["progress"].get("step", 0) > 500, "some steps")

    answer = embedded.http.post("/v1/drain")
    assert (answer.status_code, answer.json()["jobs"]) == (202, 1)

    def resumed() -> dict[str, Any] | None:
        job = embedded.job(job_id)
        return job if len(job["attempts"]) == 2 and job["state"] == "RUNNING" else None

    job = wait_for(resumed, "the second attempt")
    first, second = job["attempts"]
    assert first["state"] == "DRAINED"
    assert steps(embedded, job_id)[0] == second["resumed_from_step"] > 500
    assert (job["counted_attempts"], job["error"]) == (0, None)
    assert embedded.http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert embedded.finished(job_id)["state"] == "CANCELLED"


def test_refused_promotion_says_why_and_leaves_the_label(embedded: RunningService, penguins: str) -> None:
    embedded.succeeded(embedded.submit(train_job(penguins, "gated", 300)))
    gate = {"label": "latest", "when": {"metric": "accuracy", "at_least": 1.01}}
    embedded.succeeded(embedded.submit(train_job(penguins, "gated", 300, promote=gate)))

    version = embedded.get("/v1/models/gated/versions/2")["versions"][0]
    assert version["state"] == "REFUSED"
    assert "accuracy" in version["reason"]
    assert "1.01" in version["reason"]
    answer = embedded.http.post("/v1/models/gated:predict", json={"instances": INSTANCES[:2]})
    assert answer.headers["x-model-version"] == "1"
    put = embedded.http.put("/v1/models/gated/labels/latest", json={"version": 2})
    assert put.status_code == 409


def test_job_killed_five_times_has_the_series_of_an_undisturbed_one(embedded: RunningService, penguins: str) -> None:
    body = train_job(penguins, "killed", 30_000, promote=None, export="none")
    undisturbed, disturbed = embedded.submit(body), embedded.submit(body)
    embedded.succeeded(undisturbed)
    for kill in range(5):
        seen = steps(embedded, disturbed)
        wait_for(lambda seen=seen: max(steps(embedded, disturbed), default=0) > max(seen, default=0), f"kill {kill}")
        for trainer in embedded.processes("workers.trainer"):
            trainer.kill()
    job = embedded.succeeded(disturbed)
    assert [attempt["state"] for attempt in job["attempts"]] == ["LOST"] * 5 + ["SUCCEEDED"]
    assert losses(embedded, disturbed) == losses(embedded, undisturbed)
