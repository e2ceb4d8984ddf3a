"""What the setting EXECUTOR changes in parts that need no Ray."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from app.config import NO_RAY, Settings
from app.queue import CeleryQueue, MemoryQueue, RayQueue, make_queue
from app.readiness import ReadinessMonitor
from app.registry.db import Database
from app.registry.workers import RAY, WorkerReport, WorkerRepository
from app.serving.forkserver import POSSIBLE
from tests.registry.conftest import make_job
from tests.waiting import wait_for
from workers.service import supervisor
from workers.worker import tasks

ON_RAY = {"executor": "ray", "ray_address": "auto"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"executor": "ray"}, "needs RAY_ADDRESS"),
        ({"executor": "slurm"}, "celery|ray"),
        ({"executor": "ray", "ray_address": "ray://head:10001"}, "ray_address"),
        ({"ray_queues": "gpu"}, "RAY_QUEUES is for EXECUTOR=ray"),
        (ON_RAY | {"ray_device": "TPU"}, "ray_device"),
    ],
)
def test_settings_of_ray_that_fit_nothing_are_refused(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(**settings)


def test_messages_are_sent_for_queues_that_are_celerys_only(tmp_path: Path) -> None:
    alone = make_queue(Settings(data_dir=tmp_path, **ON_RAY))
    alone.send("job_1", 0, queue="default", priority=5)
    assert alone.ping()
    celery = MemoryQueue()
    beside = RayQueue(["big"], celery)
    for job, queue in (("a", "big"), ("b", "big:2-devices"), ("c", "default"), ("d", "default:2-devices")):
        beside.send(job, 0, queue=queue, priority=5)
    assert celery.sent == [("c", 0), ("d", 0)]
    celery.up = False
    assert not beside.ping()
    assert isinstance(make_queue(Settings(data_dir=tmp_path)), CeleryQueue)


def test_service_on_ray_starts_no_broker_and_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(**more: str) -> list[str]:
        return [part.name for part in supervisor.parts_of(Settings(data_dir=tmp_path, **ON_RAY, **more))]

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(supervisor.RayMissing, match=r"requirements-ray\.lock"):
        names()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    tables = ["tables"] if POSSIBLE else []
    assert names() == [*tables, "api", "reconciler", "on-ray"]
    assert names(ray_queues="big") == ["broker", *tables, "api", "reconciler", "on-ray", "worker-0"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_placing_without_ray_says_what_to_install() -> None:
    environment = os.environ | {"EXECUTOR": "ray", "RAY_ADDRESS": "auto"}
    command = [sys.executable, "-m", "workers.on_ray"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, NO_RAY)


def test_celery_worker_without_a_queue_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ON_RAY.items():
        monkeypatch.setenv(name.upper(), value)
    with pytest.raises(SystemExit, match="RAY_QUEUES"):
        tasks._prepare(SimpleNamespace(pool_cls="prefork", concurrency=1, options={}))


def test_readiness_tells_whether_ray_answers_and_has_the_devices(database: Database) -> None:
    monitor = ReadinessMonitor(database, RayQueue([], None), on_ray=True, every_s=0.01)
    with database.session() as session:
        make_job(session, spec={"resources": {"devices": 4, "workers": 1}})
    monitor.start()
    try:
        wait_for(lambda: monitor._database.last()[0] is not None and monitor._broker.last()[0] is not None)
        found = monitor.current()
        assert found.broker
        assert [text.partition(":")[0] for text in found.problems] == [
            "Ray does not answer, or `python -m workers.on_ray` does not run",
            "No living worker serves the queue default",
        ]
        with database.session() as session:
            WorkerRepository(session).report(WorkerReport(f"{RAY}host:1", ("default",), 1, ("cpu",), "1"))
        wait_for(lambda: len(monitor.current().problems) == 1)
        assert "Ray needs a node with as many devices" in monitor.current().problems[0]
    finally:
        monitor.stop()
