"""A real trainer process: warm, killed, stopped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.registry.checkpoints import CheckpointRepository
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from tests.workers.in_process import Service, flowers
from workers.trainer import __main__ as process
from workers.worker.slot import Slot
from workers.worker.trainer_handle import TrainerProcess


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"), migrated_sqlite)
    yield made
    made.database.close()


def test_memory_is_given_back_while_nothing_is_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not between two attempts of which the second waits already."""
    given_back: list[int] = []
    incoming, sending = (os.fdopen(number, mode) for number, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
    parent = process.Parent(incoming, io.BytesIO())

    def give_back() -> None:
        given_back.append(1)
        sending.write(b'{"run": 3}\n')
        sending.close()

    monkeypatch.setattr(process, "give_memory_back", give_back)
    monkeypatch.setattr(process, "_IDLE_S", 20.0)
    sending.write(b'{"run": 1}\n{"run": 2}\n')
    sending.flush()
    assert [process.next_attempt(parent), process.next_attempt(parent)] == [{"run": 1}, {"run": 2}]
    assert given_back == []
    monkeypatch.setattr(process, "_IDLE_S", 0.01)
    assert process.next_attempt(parent) == {"run": 3}
    assert given_back == [1]
    assert parent.attempts.get(timeout=20.0) is None  # its thread has read to the end
    incoming.close()


class Stop:
    asked = False


@pytest.fixture(scope="module")
def slot(service: Service) -> Iterator[Slot]:
    environment = os.environ | {
        "DATA_DIR": str(service.settings.data_dir),
        "DATABASE_URL": "",
        "ARTIFACTS_URL": "",
        "HEARTBEAT_S": "0.1",
        "RETRY_BACKOFF_S": "0",
    }
    made = Slot(
        service.settings,
        service.database,
        draining=lambda: Stop.asked,
        start_trainer=lambda devices: TrainerProcess(devices, environment=environment),
    )
    made.warm_up()
    assert made.trainer is not None
    assert made.trainer.receive(240.0) == {"ready": True}
    yield made
    made.close()


@pytest.fixture(scope="module")
def body(service: Service) -> dict[str, Any]:
    return {
        "type": "train",
        "model": "flowers",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [4]}},
        "columns": "auto",
        "data": {"train": {"dataset": service.upload(flowers()), "label": "kind"}},
        "train": {"max_steps": 6_000, "save_checkpoints_steps": 300, "seed": 1},
        "export": "none",
    }


def when_checkpoint(service: Service, job_id: str, steps: int, action: Any) -> threading.Thread:
    """Does something as soon as the job has a checkpoint beyond some steps."""

    def watch() -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            row = service.look(CheckpointRepository, "latest", job_id)
            if row is not None and row.step > steps:
                action()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_warm_trainer_takes_the_job(service: Service, slot: Slot, body: dict[str, Any]) -> None:
    slot.warm_up()  # a test before may have killed it
    assert slot.trainer is not None
    warm = slot.trainer.pid
    job_id = service.submit(body | {"train": {"max_steps": 20}})
    assert slot.run(job_id, 0) == "succeeded"
    assert slot.trainer.pid == warm
    assert service.job(job_id).result["timings"]["first_step"] > 0
    log = service.storage.path(service.storage.attempt_key(job_id, 1)) / "log.txt"
    assert "The attempt ended: succeeded." in log.read_text()


def test_killed_and_stopped_trainer_resumes_exactly(service: Service, slot: Slot, body: dict[str, Any]) -> None:
    undisturbed, disturbed = service.submit(body), service.submit(body)
    assert slot.run(undisturbed, 0) == "succeeded"

    def kill() -> None:
        assert slot.trainer is not None
        os.kill(slot.trainer.pid, signal.SIGKILL)

    thread = when_checkpoint(service, disturbed, 0, kill)
    assert slot.run(disturbed, 0) == "lost"
    thread.join()

    def stop() -> None:
        Stop.asked = True

    reached = service.look(CheckpointRepository, "latest", disturbed).step
    thread = when_checkpoint(service, disturbed, reached, stop)
    assert slot.run(disturbed, 1) == "queued"
    thread.join()
    Stop.asked = False
    slot.close()  # a worker that was told to stop leaves; this is the next one
    assert slot.run(disturbed, 2) == "succeeded"

    killed, drained, last = service.look(JobRepository, "attempts", disturbed)
    assert (killed.state, killed.exit_signal) == ("LOST", signal.SIGKILL)
    assert (drained.state, drained.resumed_from_step >= 300) == ("DRAINED", True)
    assert (last.state, last.last_step) == ("SUCCEEDED", 6_000)
    series = [service.look(MetricRepository, "series", job, "loss") for job in (undisturbed, disturbed)]
    assert len(series[0]) > 50
    assert series[0] == series[1]
    assert service.job(disturbed).counted_attempts == 0


def test_trainer_dies_with_its_parent(slot: Slot) -> None:
    slot.warm_up()
    assert slot.trainer is not None
    process = psutil.Process(slot.trainer.pid)
    slot.close()
    assert not process.is_running()


def test_lines_of_tensorflow_are_in_the_log_once_and_without_deprecations() -> None:
    program = (
        "import tf_estimator, tensorflow as tf, logging\n"  # in this order in three quarters of the time
        "tf.get_logger().warning('before')\n"
        "from workers.trainer.__main__ import _set_up_logging\n"
        "_set_up_logging('INFO')\n"
        "tf.get_logger().warning('hello')\n"
        "tf.feature_column.numeric_column('x')\n"
        "logging.getLogger('mine').warning('deprecated of my own')\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [line for line in run.stderr.splitlines() if "hello" in line or "deprecated" in line]
    assert [line.split("Z ", 1)[1] for line in lines] == [
        "WARNING tensorflow: hello",
        "WARNING mine: deprecated of my own",
    ]
