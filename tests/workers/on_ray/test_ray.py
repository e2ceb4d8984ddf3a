"""Jobs on a real Ray of this machine: what is placed runs, goes on after a death, drains and is cancelled."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.queue import MemoryQueue
from app.registry.checkpoints import CheckpointRepository
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Seat
from app.registry.workers import RAY, WorkerRepository
from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for
from tests.workers.in_process import Service, flowers
from tests.workers.on_ray import local_ray
from tests.workers.trainer.test_runner import request
from workers.reconciler import Reconciler

pytestmark = pytest.mark.skipif(local_ray.MISSING, reason="scripts/ray makes Ray's environment")

_S = 300.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Any) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"), migrated_sqlite, lease_s=5.0, reconcile_s=0.2)
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def ray(service: Service) -> Iterator[local_ray.LocalRay]:
    environment = {
        "DATA_DIR": str(service.settings.data_dir),
        "DATABASE_URL": "",
        "ARTIFACTS_URL": "",
        "HEARTBEAT_S": "0.1",
        "LEASE_S": "5",
        "RETRY_BACKOFF_S": "0",
        "RESEND_AFTER_S": "1",
    }
    made = local_ray.LocalRay(service.settings.data_dir, environment)
    yield made
    print(made.log()[-20_000:])
    made.close()


@pytest.fixture
def reconciler(service: Service) -> Reconciler:
    return Reconciler(service.settings, service.database, MemoryQueue(), service.storage)


@pytest.fixture(scope="module")
def body(service: Service) -> dict[str, Any]:
    options = {"max_steps": 400, "save_checkpoints_steps": 40, "seed": 3}
    return request(service.upload(flowers()), export="none", train=options)


def endless(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"train": body["train"] | {"max_steps": 10**7, "save_checkpoints_steps": 1000}}


def seat_pid(worker: str) -> int:
    return int(worker.rpartition(":")[2])


def test_job_is_placed_runs_and_gives_its_place_back(
    service: Service, ray: local_ray.LocalRay, body: dict[str, Any]
) -> None:
    alone = service.submit(body)
    wait_for(lambda: service.job(alone).state == "SUCCEEDED", "the job", seconds=_S)
    listed = service.look(WorkerRepository, "list")
    (placer,) = (worker for worker in listed if worker.report.name.startswith(RAY))
    assert (placer.alive, placer.report.slots, placer.report.devices) == (True, 1, ("cpu", "cpu"))
    # both processors of the node: what the first one had is free again
    wide = service.submit(body | {"resources": {"devices": 2}})
    wait_for(lambda: service.job(wide).state == "SUCCEEDED", "the job of two devices", seconds=_S)
    assert service.job(wide).attempt == 1


def test_gang_goes_on_after_one_of_its_seats_was_killed(
    service: Service, ray: local_ray.LocalRay, body: dict[str, Any], reconciler: Reconciler
) -> None:
    job_id = service.submit(body | {"resources": {"workers": 2}, "train": body["train"] | {"max_steps": 4000}})
    wait_for(lambda: service.look(CheckpointRepository, "latest", job_id) is not None, "a checkpoint", seconds=_S)
    with service.database.read() as session:
        seats = dict(session.execute(select(Seat.number, Seat.worker).where(Seat.job_id == job_id)).all())
    assert sorted(seats) == [0, 1]
    os.kill(seat_pid(seats[1]), signal.SIGKILL)
    wait_for(lambda: reconciler.round() and service.job(job_id).state == "SUCCEEDED", "the job", seconds=_S)
    first, *_, last = service.look(JobRepository, "attempts", job_id)
    assert (first.state, last.state) == ("LOST", "SUCCEEDED")
    assert last.resumed_from_step > 0
    assert service.job(job_id).result["step"] == 4000


def test_seat_that_is_asked_to_stop_gives_its_job_back_and_cancel_ends_it(
    service: Service, ray: local_ray.LocalRay, body: dict[str, Any]
) -> None:
    job_id = service.submit(endless(body))
    wait_for(lambda: service.look(CheckpointRepository, "latest", job_id) is not None, "a checkpoint", seconds=_S)
    os.kill(seat_pid(service.job(job_id).worker), signal.SIGTERM)
    wait_for(lambda: service.job(job_id).attempt == 2, "the next attempt", seconds=_S)
    first, second = service.look(JobRepository, "attempts", job_id)
    assert (first.state, second.state) == ("DRAINED", "RUNNING")
    with service.database.session() as session:
        JobRepository(session).request_cancel(job_id)
    wait_for(lambda: service.job(job_id).state == "CANCELLED", "the cancellation", seconds=_S)


def test_ray_that_is_not_there_is_told_and_waited_for(tmp_path: Path, migrated_sqlite: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "registry.db")
    environment = os.environ | {
        "EXECUTOR": "ray",
        "RAY_ADDRESS": f"127.0.0.1:{free_port()}",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        command = [str(local_ray.PYTHON), "-m", "workers.on_ray"]
        process = subprocess.Popen(tied(command), env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: log.read_text().count("jobs are not placed for now") > 1, "two tries", seconds=_S)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()
