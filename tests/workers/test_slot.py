from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.registry.db import Database
from app.registry.jobs import JobRepository
from tests.workers import registry
from workers.slot import Slot
from workers.trainer_process import TrainerProcess

FAKE = [sys.executable, "-m", "tests.workers.fake_trainer"]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def slot(settings: Settings, database: Database) -> Iterator[Slot]:
    made = Slot(settings, database, start_trainer=lambda: TrainerProcess(FAKE), worker="here")
    yield made
    made.close()


def test_attempt_is_claimed_and_run(slot: Slot, database: Database) -> None:
    job = registry.submit(database)
    assert slot.run(job.id, 0) == "succeeded"
    found = registry.job(database, job.id)
    assert (found.attempt, found.worker) == (1, "here")


def test_message_that_comes_again_starts_nothing(slot: Slot, database: Database) -> None:
    job = registry.submit(database)
    assert slot.run(job.id, 0) == "succeeded"
    assert slot.run(job.id, 0) is None
    assert slot.run("job_00000000000000000000000000", 0) is None
    assert registry.job(database, job.id).attempt == 1


def test_trainer_stays_warm_for_the_next_attempt(slot: Slot, database: Database) -> None:
    pids = set()
    for _ in range(2):
        slot.run(registry.submit(database).id, 0)
        assert slot.trainer is not None
        pids.add(slot.trainer.pid)
    assert len(pids) == 1


@pytest.mark.parametrize(("do", "number", "word"), [("die", signal.SIGKILL, "SIGKILL"), ("exit", None, "code 3")])
def test_death_of_the_trainer_is_put_on_record(
    slot: Slot, database: Database, do: str, number: int | None, word: str
) -> None:
    job = registry.submit(database, {"do": do})
    assert slot.run(job.id, 0) == "lost"
    (attempt,) = registry.attempts(database, job.id)
    assert (attempt.state, attempt.exit_signal) == ("LOST", number)
    assert word in attempt.reason
    assert attempt.peak_memory_bytes > 1_000_000
    assert registry.job(database, job.id).state == "QUEUED"
    assert slot.run(registry.submit(database).id, 0) == "succeeded"  # with a new trainer


def test_last_attempt_that_is_lost_fails_the_job(slot: Slot, database: Database) -> None:
    job = registry.submit(database, {"do": "die"}, max_attempts=1)
    slot.run(job.id, 0)
    assert (registry.job(database, job.id).state, registry.job(database, job.id).error_kind) == ("FAILED", "lost")


def test_idle_trainer_that_died_is_replaced(slot: Slot, database: Database) -> None:
    slot.warm_up()
    assert slot.trainer is not None
    slot.trainer.kill()
    assert slot.run(registry.submit(database).id, 0) == "succeeded"


def test_trainer_that_dies_before_it_starts_costs_no_attempt(slot: Slot, database: Database, tmp_path: Path) -> None:
    job = registry.submit(database, {"do": f"never start {tmp_path / 'once'}"})
    assert slot.run(job.id, 0) == "succeeded"
    assert len(registry.attempts(database, job.id)) == 1


def test_trainers_that_never_start_lose_the_attempt(slot: Slot, database: Database) -> None:
    job = registry.submit(database, {"do": "never start"})
    assert slot.run(job.id, 0) == "lost"
    (attempt,) = registry.attempts(database, job.id)
    assert "code 4" in attempt.reason


def test_lease_is_kept_until_the_trainer_starts(tmp_path: Path, database: Database) -> None:
    slot = Slot(Settings(data_dir=tmp_path, lease_s=0.8), database, start_trainer=lambda: TrainerProcess(FAKE))
    job = registry.submit(database, {"do": "start late"})  # after 1.5 s
    seen = []
    stop = threading.Event()

    def reconcile() -> None:
        while not stop.wait(0.1):
            with database.session() as session:
                seen.extend(JobRepository(session).expire_leases(10))

    watching = threading.Thread(target=reconcile)
    watching.start()
    outcome = slot.run(job.id, 0)
    stop.set()
    watching.join()
    slot.close()
    assert (outcome, seen) == ("succeeded", [])


def test_idle_slot_gets_a_new_trainer_when_its_own_dies(settings: Settings, database: Database) -> None:
    stop = threading.Event()
    slot = Slot(settings, database, draining=stop.is_set, start_trainer=lambda: TrainerProcess(FAKE))
    looking = threading.Thread(target=slot.look_after, args=(0.05,))
    looking.start()
    try:
        wait_for(lambda: slot.trainer is not None)
        first = slot.trainer
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        wait_for(lambda: slot.trainer not in (None, first))
    finally:
        stop.set()
        looking.join()
        slot.close()


def test_stop_of_the_worker_reaches_the_attempt(settings: Settings, database: Database) -> None:
    stop = threading.Event()
    slot = Slot(settings, database, draining=stop.is_set, start_trainer=lambda: TrainerProcess(FAKE))
    job = registry.submit(database, {"do": "drain"})
    threading.Timer(0.2, stop.set).start()
    assert slot.run(job.id, 0) == "queued"
    assert slot.run(registry.submit(database).id, 0) is None  # a stopping worker takes nothing
    slot.close()


def test_attempt_that_does_not_stop_in_its_grace_is_lost(tmp_path, database: Database) -> None:  # type: ignore[no-untyped-def]
    settings = Settings(data_dir=tmp_path, grace_s=0.3)
    stop = threading.Event()
    slot = Slot(settings, database, draining=stop.is_set, start_trainer=lambda: TrainerProcess(FAKE))
    job = registry.submit(database, {"do": "hang"})
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    assert slot.run(job.id, 0) == "lost"
    assert time.monotonic() - began < 5
    assert registry.job(database, job.id).state == "QUEUED"
    slot.close()


def test_queue_cap_leaves_the_job_waiting(tmp_path, database: Database) -> None:  # type: ignore[no-untyped-def]
    slot = Slot(
        Settings(data_dir=tmp_path, queue_caps="gpu=0, default=2"),
        database,
        start_trainer=lambda: TrainerProcess(FAKE),
    )
    assert slot.run(registry.submit(database, queue="gpu").id, 0) is None
    assert slot.run(registry.submit(database).id, 0) == "succeeded"
    slot.close()
