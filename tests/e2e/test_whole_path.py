"""Upload, train, evaluate, predict; and the same while its processes are killed."""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from pathlib import Path

import httpx
import psutil
import pyarrow.parquet as pq

from tests import rabbitmq
from tests.e2e.conftest import RunningService
from tests.e2e.penguins import INSTANCES, KEPT_BACK, KNOWN_CSV, TRUTH, demo, share_right, train_job
from tests.waiting import wait_for

FORK_SERVER = "workers.fork_server nursery"
PREDICT = "/v1/models/{}:predict"


def test_from_data_file_to_predictions(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    job = service.succeeded(service.submit(train_job(dataset, "whole")))

    assert job["progress"]["step"] == 1500
    checkpoints = service.get(f"/v1/jobs/{job['id']}/checkpoints")["checkpoints"]
    assert 1500 in [checkpoint["step"] for checkpoint in checkpoints]
    assert service.get(f"/v1/jobs/{job['id']}/evaluations")["evaluations"][0]["metrics"]["accuracy"] > 0.9
    assert len(service.get(f"/v1/jobs/{job['id']}/exports")["exports"]) == 1

    answer = service.http.post(PREDICT.format("whole"), json={"instances": INSTANCES})
    assert answer.status_code == 200, answer.text
    assert share_right(answer.json()["predictions"]) >= 0.9
    assert answer.headers["x-model-version"] == "1"

    (version,) = service.get("/v1/models/whole/versions/1")["versions"]
    assert version["lineage"]["job"] == job["id"]


@rabbitmq.needed
def test_job_runs_by_way_of_rabbitmq_without_redis(tmp_path: Path) -> None:
    with rabbitmq.own_queues(1) as (queue,):
        broker = {"BROKER_URL": rabbitmq.URL, "QUEUES": queue, "REDIS_URL": "", "DATABASE_URL": ""}
        running = RunningService(tmp_path / "data", broker)
        try:
            dataset = running.dataset("penguins", KNOWN_CSV)
            running.succeeded(running.submit(train_job(dataset, "rung", 500) | {"queue": queue}))
            wait_for(lambda: running.get("/readyz")["status"] == "ok", "readiness")
            assert not running.processes("broker.sock")
        finally:
            running.stop()


def test_batch_predictions_are_downloaded_and_versions_compared(embedded: RunningService) -> None:
    known = embedded.dataset("penguins", KNOWN_CSV)
    embedded.succeeded(embedded.submit(train_job(known, "batch")))
    kept_back = embedded.dataset("penguins-kept-back", demo.as_csv(KEPT_BACK))
    source = {"model": "batch", "version": 1}
    job = embedded.succeeded(
        embedded.submit({"type": "predict", **source, "data": {"predict": {"dataset": kept_back}}})
    )

    path = f"/v1/jobs/{job['id']}/predictions"
    lines = embedded.http.get(path)
    assert lines.headers["content-type"].startswith("application/jsonl")
    rows = [json.loads(line) for line in lines.text.splitlines()]
    assert [row["classes"] for row in rows].count("Adelie") > 10
    columns = pq.read_table(io.BytesIO(embedded.http.get(path, params={"format": "parquet"}).content))
    assert columns["classes"].to_pylist() == [row["classes"] for row in rows]
    assert sum(row["classes"] == truth for row, truth in zip(rows, TRUTH, strict=True)) >= 0.9 * len(TRUTH)

    judge = {"type": "evaluate", **source, "data": {"eval": {"dataset": kept_back}}, "name": "kept-back"}
    embedded.succeeded(embedded.submit(judge))
    found = embedded.http.get("/v1/models/batch/evaluations", params={"dataset": kept_back}).json()["evaluations"]
    assert [(row["version"], row["name"], row["rows"]) for row in found] == [(1, "kept-back", len(TRUTH))]
    assert found[0]["metrics"]["accuracy"] >= 0.9


def test_a_new_version_takes_over_without_a_failed_request(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    service.succeeded(service.submit(train_job(dataset, "swapped", 500)))
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.address, headers=service.http.headers, trust_env=False) as http:
            while not stop.is_set():
                answer = http.post(PREDICT.format("swapped"), json={"instances": INSTANCES[:3]})
                seen.append((answer.status_code, answer.headers.get("x-model-version", "")))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        wait_for(lambda: (200, "1") in seen, "version 1")
        service.succeeded(service.submit(train_job(dataset, "swapped", 800)))
        wait_for(lambda: (200, "2") in seen, "version 2")
    finally:
        stop.set()
        asking.join()
    assert {status for status, _ in seen} == {200}


def test_killed_fork_server_and_trainer_end_in_the_same_job(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    job_id = service.submit(train_job(dataset, "trainer-killed", 25_000, promote=None))
    wait_for(lambda: (service.job(job_id)["progress"] or {}).get("step", 0) > 2000, "some steps")
    # what forked the trainer may go; the training does not mind
    for fork_server in service.processes(FORK_SERVER):
        fork_server.kill()
    step = service.job(job_id)["progress"]["step"]
    wait_for(lambda: service.job(job_id)["progress"]["step"] > step, "a step without the fork server")
    wait_for(lambda: service.processes(FORK_SERVER), "the next fork server")
    for trainer in service.processes("workers.trainer"):
        trainer.kill()

    job = service.succeeded(job_id)

    assert job["progress"]["step"] == 25_000
    assert [attempt["state"] for attempt in job["attempts"]] == ["LOST", "SUCCEEDED"]
    assert job["attempts"][0]["exit_signal"] == 9
    assert job["attempts"][1]["resumed_from_step"] >= 500


def test_killed_worker_ends_in_the_same_job(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    job_id = service.submit(train_job(dataset, "worker-killed", 25_000, promote=None))
    wait_for(lambda: (service.job(job_id)["progress"] or {}).get("step", 0) > 2000, "some steps")
    for process in service.processes("celery"):
        process.kill()

    job = service.succeeded(job_id)

    assert job["progress"]["step"] == 25_000
    assert [attempt["state"] for attempt in job["attempts"]] == ["LOST", "SUCCEEDED"]


def test_killed_predictor_gives_no_wrong_answer(embedded: RunningService) -> None:
    dataset = embedded.dataset("penguins", KNOWN_CSV)
    embedded.succeeded(embedded.submit(train_job(dataset, "predictor-killed", 500)))
    path = PREDICT.format("predictor-killed")
    right = embedded.http.post(path, json={"instances": INSTANCES}).json()

    # the one that answers, its spare, and what forks them
    for predictor in [*embedded.processes("app.serving.predictor"), *embedded.processes(FORK_SERVER)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # they end with the one that forked them
            predictor.kill()
    answers = []
    end = time.monotonic() + 240
    while time.monotonic() < end:
        answer = embedded.http.post(path, json={"instances": INSTANCES})
        answers.append(answer)
        if answer.status_code == 200 and embedded.processes("app.serving.predictor"):
            break

    assert answers[-1].json() == right
    for answer in answers:
        if answer.status_code != 200:
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
