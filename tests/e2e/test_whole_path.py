"""Upload, train, evaluate, predict; and the same while its processes are killed."""

from __future__ import annotations

import threading
import time

import httpx

from tests.e2e.conftest import RunningService, wait_for
from tests.e2e.penguins import INSTANCES, KNOWN_CSV, share_right, train_job

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


def test_killed_trainer_ends_in_the_same_job(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    job_id = service.submit(train_job(dataset, "trainer-killed", 60_000, promote=None))
    wait_for(lambda: (service.job(job_id)["progress"] or {}).get("step", 0) > 2000, "some steps")
    for trainer in service.processes("workers.trainer"):
        trainer.kill()

    job = service.succeeded(job_id)

    assert job["progress"]["step"] == 60_000
    assert [attempt["state"] for attempt in job["attempts"]] == ["LOST", "SUCCEEDED"]
    assert job["attempts"][0]["exit_signal"] == 9
    assert job["attempts"][1]["resumed_from_step"] >= 500


def test_killed_worker_ends_in_the_same_job(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    job_id = service.submit(train_job(dataset, "worker-killed", 60_000, promote=None))
    wait_for(lambda: (service.job(job_id)["progress"] or {}).get("step", 0) > 2000, "some steps")
    for process in service.processes("celery"):
        process.kill()

    job = service.succeeded(job_id)

    assert job["progress"]["step"] == 60_000
    assert [attempt["state"] for attempt in job["attempts"]] == ["LOST", "SUCCEEDED"]


def test_killed_predictor_gives_no_wrong_answer(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    service.succeeded(service.submit(train_job(dataset, "predictor-killed", 500)))
    path = PREDICT.format("predictor-killed")
    right = service.http.post(path, json={"instances": INSTANCES}).json()

    for predictor in service.processes("app.serving.predictor"):  # the one that answers, and its spare
        predictor.kill()
    answers = []
    end = time.monotonic() + 40
    while time.monotonic() < end:
        answer = service.http.post(path, json={"instances": INSTANCES})
        answers.append(answer)
        if answer.status_code == 200 and service.processes("app.serving.predictor"):
            break

    assert answers[-1].json() == right
    for answer in answers:
        if answer.status_code != 200:
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
