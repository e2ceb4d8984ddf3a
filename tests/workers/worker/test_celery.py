"""Real Celery worker processes on the embedded broker; only the trainer is a fake."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.config import Settings
from app.queue import CeleryQueue
from app.registry.db import Database, make_engine
from app.registry.workers import ListedWorker, WorkerReport, WorkerRepository
from app.version import __version__ as VERSION
from tests.tied import tied
from tests.waiting import wait_for
from tests.workers import job_rows
from workers.service import broker
from workers.worker.presence import Presence


class Running:
    """A broker, a registry and Celery workers in a directory. `broker_url`: a broker that runs already."""

    def __init__(
        self,
        directory: Path,
        migrated: Path,
        environment: dict[str, str] | None = None,
        *,
        broker_url: str = "",
    ) -> None:
        self._environment = {"BROKER_URL": broker_url} | (environment or {})
        directory.mkdir(exist_ok=True)
        shutil.copy(migrated, directory / "registry.db")
        self.settings = Settings(
            data_dir=directory, database_url="", redis_url="", broker_url=broker_url, artifacts_url=""
        )
        self.database = Database(make_engine(self.settings))
        self.queue = CeleryQueue(self.settings.broker)
        self.processes: list[subprocess.Popen[bytes]] = []
        if self.settings.broker_is_supervised:
            self._start(broker.command(self.settings))
            wait_for(lambda: self.settings.broker_socket.exists())

    def _start(self, command: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        own = {"DATA_DIR": str(self.settings.data_dir), "DATABASE_URL": "", "REDIS_URL": ""}
        environment = os.environ | own | self._environment | (environment or {})
        with (self.settings.data_dir / "log").open("ab") as log:
            process = subprocess.Popen(tied(command), env=environment, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def worker(
        self,
        environment: dict[str, str] | None = None,
        options: tuple[str, ...] = ("--pool=prefork", "--concurrency=1", "--without-gossip", "--without-mingle"),
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "tests.workers.worker.fake_worker", "worker", *options]
        return self._start([*command, "--loglevel=INFO", "--hostname=test@%h"], environment)

    def log(self) -> str:
        return (self.settings.data_dir / "log").read_text(errors="replace")

    def send(self, job_id: str, attempt: int = 0, priority: int = 5, queue: str = "default") -> None:
        self.queue.send(job_id, attempt, queue=queue, priority=priority)

    def workers(self) -> list[ListedWorker]:
        with self.database.read() as session:
            return WorkerRepository(session).list()

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
        self.queue.close()
        self.database.close()


@pytest.fixture
def running(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Running]:
    made = Running(tmp_path / "data", migrated_sqlite)
    yield made
    made.close()


def state(running: Running, job_id: str) -> tuple[str, int]:
    job = job_rows.job(running.database, job_id)
    return job.state, job.attempt


def test_message_runs_a_job_and_doubled_messages_run_none(running: Running) -> None:
    first, second = job_rows.submit(running.database), job_rows.submit(running.database)
    for _ in range(3):
        running.send(first.id)
    running.send(second.id)
    running.worker()
    wait_for(lambda: state(running, second.id)[1] == 1)
    assert state(running, first.id)[1] == 1
    assert "tensorflow" not in running.log()


def test_worker_survives_the_broker_and_serves_priorities(running: Running) -> None:
    worker = running.worker()
    wait_for(lambda: "ready." in running.log())
    running.processes[0].kill()
    running.processes[0].wait()
    running._start(broker.command(running.settings))
    job = job_rows.submit(running.database)

    def sent() -> bool:
        try:
            running.send(job.id, priority=0)
        except Exception:
            return False
        return True

    wait_for(sent)
    wait_for(lambda: state(running, job.id)[1] == 1)
    assert worker.poll() is None


def test_stopped_worker_has_its_attempt_given_back(running: Running) -> None:
    worker = running.worker()
    job = job_rows.submit(running.database, "drain")
    running.send(job.id)
    wait_for(lambda: state(running, job.id)[1] == 1)
    family = psutil.Process(worker.pid).children(recursive=True)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert "ended" in running.log()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive


@pytest.mark.parametrize("victim", ["main", "child"])
def test_killed_worker_leaves_no_process_behind(running: Running, victim: str) -> None:
    worker = running.worker()
    job = job_rows.submit(running.database, "hang")
    running.send(job.id)
    wait_for(lambda: state(running, job.id)[1] == 1)
    wait_for(lambda: len(psutil.Process(worker.pid).children(recursive=True)) >= 2)
    family = psutil.Process(worker.pid).children(recursive=True)
    (worker if victim == "main" else psutil.Process(worker.pid).children()[0]).kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    if victim == "child":  # a new child takes its place
        wait_for(lambda: len(psutil.Process(worker.pid).children(recursive=True)) >= 2)
        second = job_rows.submit(running.database)
        running.send(second.id)
        wait_for(lambda: state(running, second.id)[1] == 1)


def test_worker_without_options_serves_the_queues_of_the_settings(running: Running) -> None:
    jobs = [job_rows.submit(running.database, queue=queue) for queue in ("night", "gpu")]
    running.worker({"QUEUES": "night, gpu"}, options=())
    for job in jobs:
        running.send(job.id, queue=job.queue)
    wait_for(lambda: [state(running, job.id)[1] for job in jobs] == [1, 1])


def test_queues_of_the_command_line_replace_those_of_the_settings(running: Running) -> None:
    running.worker({"QUEUES": "night"}, options=("--queues=day",))
    job = job_rows.submit(running.database, queue="day")
    running.send(job.id, queue="day")
    wait_for(lambda: state(running, job.id)[1] == 1)
    wait_for(lambda: [found.report.queues for found in running.workers()] == [("day",)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--concurrency=2",), "one slot"),
        (("--autoscale=3,1",), "one slot"),
        (("--pool=threads",), "prefork pool only"),
    ],
)
def test_worker_that_is_not_one_slot_is_refused_at_start(
    running: Running, options: tuple[str, ...], words: str
) -> None:
    assert running.worker(options=options).wait(30) != 0
    assert words in running.log()


def test_worker_lists_itself_with_its_job_and_leaves_when_it_is_stopped(running: Running) -> None:
    worker = running.worker({"GPUS": "none"})
    job = job_rows.submit(running.database, "drain")
    running.send(job.id)
    wait_for(lambda: [found.job_ids for found in running.workers()] == [(job.id,)])
    (found,) = running.workers()
    name = f"{socket.gethostname()}:{worker.pid}"
    assert found.report == WorkerReport(name, ("default",), 1, ("cpu",), VERSION)
    assert found.alive
    assert job_rows.job(running.database, job.id).worker == name
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert running.workers() == []


def test_every_pulse_of_the_main_process_is_one_report(running: Running) -> None:
    pulses = iter([1, 2, 2, 3])
    report = WorkerReport("host:1", ("default",), 1, (), VERSION)
    presence = Presence(running.database, lambda: report, lambda: next(pulses))
    assert [presence.report() for _ in range(4)] == [True, True, False, True]
    presence.leave()
    assert running.workers() == []
