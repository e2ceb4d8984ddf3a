"""Two workers with real trainers that train one job together; one of them is killed on the way."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import Database
from app.registry.jobs.gangs import GangRepository, SeatKey
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from tests.registry.conftest import make_job
from tests.repositories import attempts
from tests.waiting import wait_for
from tests.workers.in_process import Service, flowers
from tests.workers.trainer.test_runner import request
from workers.worker.gang import HeldSeat, free_address
from workers.worker.slot import Slot
from workers.worker.trainer_handle import TrainerProcess


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"), migrated_sqlite, slot_devices=2)
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def slots(service: Service) -> Iterator[list[Slot]]:
    environment = os.environ | {
        "DATA_DIR": str(service.settings.data_dir),
        "DATABASE_URL": "",
        "ARTIFACTS_URL": "",
        "HEARTBEAT_S": "0.1",
        "RETRY_BACKOFF_S": "0",
        "SLOT_DEVICES": "2",
    }
    command = [sys.executable, "-m", "workers.trainer", "--member"]

    def start(devices: Any) -> TrainerProcess:
        return TrainerProcess(devices, command, environment)

    made = [
        Slot(service.settings, service.database, worker=f"host:{number}", start_trainer=start, start_member=start)
        for number in range(2)
    ]
    yield made
    for slot in made:
        slot.close()


@pytest.fixture(scope="module")
def body(service: Service) -> dict[str, Any]:
    options = {"max_steps": 400, "save_checkpoints_steps": 40, "seed": 3}
    return request(service.upload(flowers()), export="none", train=options)


@pytest.fixture(scope="module")
def expected(service: Service, body: dict[str, Any]) -> list[tuple[int, float]]:
    """The loss series of one worker with one device."""
    alone = service.submit(body)
    assert service.run(alone) == "succeeded"
    series: list[tuple[int, float]] = service.look(MetricRepository, "series", alone, "loss")
    return series


def assert_equal_series(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> None:
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=1e-5)


def test_two_devices_of_a_worker_equal_one(
    service: Service, slots: list[Slot], body: dict[str, Any], expected: list[tuple[int, float]]
) -> None:
    job_id = service.submit(body | {"resources": {"devices": 2}})
    assert slots[0].run(job_id, 0) == "succeeded"
    assert_equal_series(service.look(MetricRepository, "series", job_id, "loss"), expected)
    log = service.storage.path(service.storage.attempt_key(job_id, 1)) / "log.txt"
    assert "MirroredStrategy with devices" in log.read_text()


def test_gang_survives_a_kill_and_equals_one_worker(
    service: Service, slots: list[Slot], body: dict[str, Any], expected: list[tuple[int, float]]
) -> None:
    together = service.submit(body | {"resources": {"workers": 2}})

    def member() -> Slot:
        """The slot that runs beside the chief."""
        chief = service.job(together).worker
        return slots[1] if chief == "host:0" else slots[0]

    def kill() -> None:
        row = service.look(CheckpointRepository, "latest", together)
        if row is None or row.step < 80:
            raise AssertionError("nothing is saved yet")
        trainer = member().trainer
        assert trainer is not None
        os.kill(trainer.pid, 9)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(slot.run, together, 0) for slot in slots]
        wait_for(
            lambda: (row := service.look(CheckpointRepository, "latest", together)) and row.step >= 80, seconds=120
        )
        kill()
        # whoever notices it first, the chief or the killed one's worker, puts it on record
        assert {each.result(120) for each in running} <= {"lost", "queued"}
    assert service.job(together).state == "QUEUED"
    (attempt,) = service.look(JobRepository, "attempts", together)
    assert attempt.state == "LOST"

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda slot: slot.run(together, 1), slots)) == ["succeeded", "succeeded"]
    job = service.job(together)
    assert (job.state, job.attempt, job.result["step"]) == ("SUCCEEDED", 2, 400)
    assert job.result["resumed_from_step"] >= 80
    assert_equal_series(service.look(MetricRepository, "series", together, "loss"), expected)
    directory = service.storage.path(service.storage.attempt_key(together, 2))
    assert not (directory / "worker-1").exists()
    assert "worker 0: tf_estimator: Training ended at step 400" in (directory / "log.txt").read_text()


def test_seat_is_given_back_when_the_others_do_not_come(settings: Settings, database: Database) -> None:
    with database.session() as session:
        job = make_job(session, spec={"resources": {"workers": 2}})
        gangs = GangRepository(session, attempts(session))
        key = gangs.take_seat(job.id, 0, "here", "127.0.0.1:1", 60.0)
    assert key is not None
    impatient = settings.model_copy(update={"gang_timeout_s": 0.3})
    assert HeldSeat(impatient, database, key).wait_for_others(lambda: False) is None
    with database.session() as session:
        assert JobRepository(session).get(job.id).state == "QUEUED"
        again = GangRepository(session, attempts(session)).take_seat(job.id, 0, "here", "127.0.0.1:1", 60.0)
    assert again is None  # others may form first for a while


def test_draining_worker_gives_its_seat_back_at_once(settings: Settings, database: Database) -> None:
    with database.session() as session:
        job = make_job(session, spec={"resources": {"workers": 2}})
        key = GangRepository(session, attempts(session)).take_seat(job.id, 0, "here", "127.0.0.1:1", 60.0)
    assert key is not None
    draining = threading.Event()
    draining.set()
    assert HeldSeat(settings, database, key).wait_for_others(draining.is_set) is None
    with database.session() as session:
        again = GangRepository(session, attempts(session)).take_seat(job.id, 0, "there", "127.0.0.1:1", 60.0)
    assert again == SeatKey(job.id, 1, 0)


def test_address_leads_to_the_broker_and_is_free() -> None:
    assert free_address(Settings(redis_url="redis://127.0.0.1:6379/0")).startswith("127.0.0.1:")
    assert free_address(Settings(worker_address="worker-7.example")).startswith("worker-7.example:")
    port = int(free_address(Settings(worker_address="::1")).rpartition("]:")[2])
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
