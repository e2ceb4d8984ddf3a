"""What a job leaves on record, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.api.job_records import plain_text
from app.registry.checkpoints import CheckpointRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.exports import ExportRepository
from app.registry.metric_points import MetricRepository
from tests.api.conftest import Api
from tests.repositories import attempts


@pytest.fixture
def running(api: Api) -> str:
    """A job with one attempt that runs."""
    job = api.submit()
    with api.service.database.session() as session:
        assert attempts(session).claim(job, 0, "worker-1", 60)
    return job


def log_file(api: Api, job: str, attempt: int) -> Path:
    path = api.service.storage.path(api.service.storage.attempt_key(job, attempt))
    path.mkdir(parents=True)
    return path / "log.txt"


def test_logs_are_plain_text_without_terminal_codes(api: Api, running: str) -> None:
    log_file(api, running, 1).write_bytes(b"\x1b[31mred\x1b[0m <script>alert(1)</script>\x07 \xff\nsecond\n")

    answer = api.http.get(f"/v1/jobs/{running}/logs")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text == "--- attempt 1 ---\nred <script>alert(1)</script> \N{REPLACEMENT CHARACTER}\nsecond\n"
    assert api.http.get(f"/v1/jobs/{running}/logs?tail_bytes=7").text == "--- attempt 1 ---\nsecond\n"
    assert api.http.get(f"/v1/jobs/{running}/logs?attempt=2").text == ""


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"50%\r100%\r\n", "50%\n100%\n"),
        (b"tab\tkept", "tab\tkept"),
        ("\x9b31mé".encode(), "31mé"),
    ],
)
def test_plain_text_drops_what_a_terminal_acts_on(raw: bytes, shown: str) -> None:
    assert plain_text(raw) == shown


def test_series_checkpoints_evaluations_exports(api: Api, running: str) -> None:
    with api.service.database.session() as session:
        MetricRepository(session).add_points(
            running, 1, [("loss", 10, 0.5), ("loss", 20, float("nan")), ("lr", 10, 0.1)]
        )
        CheckpointRepository(session).add(running, 1, 10, f"jobs/{running}/1/model.ckpt-10", 123)
        EvaluationRepository(session).add(
            running, 1, train_job_id=running, step=10, metrics={"accuracy": 0.75}, rows=12
        )
        ExportRepository(session).add(
            running, 1, train_job_id=running, step=10, path="exports/x", digest="sha256:0", bytes=5
        )

    metrics = api.http.get(f"/v1/jobs/{running}/metrics").json()
    assert metrics["names"] == ["loss", "lr"]
    assert metrics["series"]["loss"] == [{"step": 10, "value": 0.5}, {"step": 20, "value": None}]
    assert list(api.http.get(f"/v1/jobs/{running}/metrics?name=lr").json()["series"]) == ["lr"]
    assert api.http.get(f"/v1/jobs/{running}/metrics?after_step=10").json()["series"]["lr"] == []
    checkpoint = api.http.get(f"/v1/jobs/{running}/checkpoints").json()["checkpoints"][0]
    assert (checkpoint["step"], checkpoint["bytes"], checkpoint["job"]) == (10, 123, running)
    evaluation = api.http.get(f"/v1/jobs/{running}/evaluations").json()["evaluations"][0]
    assert (evaluation["metrics"], evaluation["rows"], evaluation["split"]) == ({"accuracy": 0.75}, 12, "all")
    export = api.http.get(f"/v1/jobs/{running}/exports").json()["exports"][0]
    assert (export["step"], export["bytes"], export["train_job"]) == (10, 5, running)


def test_predictions_are_for_predict_jobs_only(api: Api, running: str) -> None:
    assert api.http.get(f"/v1/jobs/{running}/predictions").status_code == 409


@pytest.mark.parametrize(
    "what", ["", "/logs", "/metrics", "/checkpoints", "/evaluations", "/exports", "/predictions", "/events"]
)
def test_records_of_no_job_are_404(api: Api, what: str) -> None:
    assert api.http.get(f"/v1/jobs/job_00000000000000000000000000{what}").status_code == 404


def test_evaluations_of_a_data_set_are_those_of_all_models(api: Api, running: str) -> None:
    dataset = api.dataset()
    with api.service.database.session() as session:
        for step in (10, 20):
            EvaluationRepository(session).add(
                running, 1, train_job_id=running, step=step, metrics={"loss": 1.0}, dataset_id=dataset
            )

    found = api.http.get(f"/v1/datasets/{dataset}/evaluations").json()["evaluations"]

    assert sorted(evaluation["step"] for evaluation in found) == [10, 20]


def test_drain_asks_running_jobs(api: Api, running: str) -> None:
    assert api.http.post("/v1/drain?queue=gpu").json() == {"jobs": 0}
    assert api.http.post("/v1/drain").json() == {"jobs": 1}
    with api.service.database.session() as session:
        beat = attempts(session).heartbeat(running, 1, 60, None)
    assert beat is not None
    assert beat.drain
