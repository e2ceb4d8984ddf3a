from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from app.config import Settings
from app.registry.db import HEAD, Database
from tests.repositories import attempts, reconcile
from tests.waiting import wait_for
from tests.workers import job_rows
from workers.worker import trainer_handle
from workers.worker.devices import Devices
from workers.worker.slot import Slot
from workers.worker.trainer_handle import TrainerProcess

FAKE = [sys.executable, "-m", "tests.workers.worker.fake_trainer"]


@pytest.fixture
def slot(settings: Settings, database: Database) -> Iterator[Slot]:
    made = Slot(settings, database, start_trainer=lambda devices: TrainerProcess(devices, FAKE), worker="here")
    yield made
    made.close()


def test_attempt_is_claimed_and_run(slot: Slot, database: Database) -> None:
    job = job_rows.submit(database)
    assert slot.run(job.id, 0) == "succeeded"
    found = job_rows.job(database, job.id)
    assert (found.attempt, found.worker) == (1, "here")


def test_message_that_comes_again_starts_nothing(slot: Slot, database: Database) -> None:
    job = job_rows.submit(database)
    assert slot.run(job.id, 0) == "succeeded"
    assert slot.run(job.id, 0) is None
    assert slot.run("job_00000000000000000000000000", 0) is None
    assert job_rows.job(database, job.id).attempt == 1


def test_trainer_stays_warm_for_the_next_attempt(slot: Slot, database: Database) -> None:
    pids = set()
    for _ in range(2):
        slot.run(job_rows.submit(database).id, 0)
        assert slot.trainer is not None
        pids.add(slot.trainer.pid)
    assert len(pids) == 1


def test_trainer_that_keeps_much_memory_is_replaced(
    slot: Slot, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_handle, "_MOST_GROWN", 20_000_000)  # one attempt keeps 40 MB
    pids = []
    for do in ("succeed", "keep", "succeed"):
        assert slot.run(job_rows.submit(database, do).id, 0) == "succeeded"
        assert slot.trainer is not None
        pids.append(slot.trainer.pid)

    assert pids[0] != pids[1] == pids[2]


@pytest.mark.parametrize(("do", "number", "word"), [("die", signal.SIGKILL, "SIGKILL"), ("exit", None, "code 3")])
def test_death_of_the_trainer_is_put_on_record(
    slot: Slot, database: Database, do: str, number: int | None, word: str
) -> None:
    job = job_rows.submit(database, do)
    assert slot.run(job.id, 0) == "lost"
    (attempt,) = job_rows.attempts(database, job.id)
    assert (attempt.state, attempt.exit_signal) == ("LOST", number)
    assert word in attempt.reason
    assert attempt.peak_memory_bytes > 1_000_000
    assert job_rows.job(database, job.id).state == "QUEUED"
    assert slot.run(job_rows.submit(database).id, 0) == "succeeded"  # with a new trainer


def test_last_attempt_that_is_lost_fails_the_job(slot: Slot, database: Database) -> None:
    job = job_rows.submit(database, "die", max_attempts=1)
    slot.run(job.id, 0)
    assert (job_rows.job(database, job.id).state, job_rows.job(database, job.id).error_kind) == ("FAILED", "lost")


def test_idle_trainer_that_died_is_replaced(slot: Slot, database: Database) -> None:
    slot.warm_up()
    assert slot.trainer is not None
    slot.trainer.kill()
    assert slot.run(job_rows.submit(database).id, 0) == "succeeded"


def test_trainer_that_dies_before_it_starts_costs_no_attempt(slot: Slot, database: Database, tmp_path: Path) -> None:
    job = job_rows.submit(database, f"never start {tmp_path / 'once'}")
    assert slot.run(job.id, 0) == "succeeded"
    assert len(job_rows.attempts(database, job.id)) == 1


def test_trainers_that_never_start_lose_the_attempt(slot: Slot, database: Database) -> None:
    job = job_rows.submit(database, "never start")
    assert slot.run(job.id, 0) == "lost"
    (attempt,) = job_rows.attempts(database, job.id)
    assert "code 4" in attempt.reason


def test_lease_is_kept_until_the_trainer_starts(tmp_path: Path, database: Database) -> None:
    slot = Slot(
        Settings(data_dir=tmp_path, lease_s=2.5), database, start_trainer=lambda devices: TrainerProcess(devices, FAKE)
    )
    job = job_rows.submit(database, "start late")  # after 4 s
    seen = []
    stop = threading.Event()

    def expire() -> None:
        while not stop.wait(0.1):
            with database.session() as session:
                seen.extend(reconcile(session).expire_leases(10))

    watching = threading.Thread(target=expire)
    watching.start()
    outcome = slot.run(job.id, 0)
    stop.set()
    watching.join()
    slot.close()
    assert (outcome, seen) == ("succeeded", [])


@pytest.mark.parametrize("do", ["stay before the start", "hang"])
def test_trainer_that_stays_when_its_attempt_is_over_is_ended(tmp_path: Path, database: Database, do: str) -> None:
    settings = Settings(data_dir=tmp_path, lease_s=0.4, grace_s=0.4)
    slot = Slot(settings, database, start_trainer=lambda devices: TrainerProcess(devices, FAKE))
    job = job_rows.submit(database, do)

    def lose() -> None:
        wait_for(lambda: job_rows.job(database, job.id).state == "RUNNING")
        with database.session() as session:
            assert attempts(session).lose(job.id, 1, "another worker is gone")

    losing = threading.Thread(target=lose)
    losing.start()
    assert slot.run(job.id, 0) == "lost"  # long before the trainer would answer
    losing.join()
    (attempt,) = job_rows.attempts(database, job.id)
    assert attempt.reason == "another worker is gone"
    slot.close()


def test_idle_slot_gets_a_new_trainer_when_its_own_dies(settings: Settings, database: Database) -> None:
    stop = threading.Event()
    slot = Slot(settings, database, draining=stop.is_set, start_trainer=lambda devices: TrainerProcess(devices, FAKE))
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


def test_trainer_that_has_just_died_is_ended_like_any_other(settings: Settings) -> None:
    trainer = TrainerProcess(Devices(settings), FAKE)
    process = psutil.Process(trainer.pid)
    process.kill()
    wait_for(lambda: process.status() == psutil.STATUS_ZOMBIE)  # nobody has waited for it yet

    assert trainer.kill().signal == signal.SIGKILL


def test_stop_of_the_worker_reaches_the_attempt(settings: Settings, database: Database) -> None:
    stop = threading.Event()
    slot = Slot(settings, database, draining=stop.is_set, start_trainer=lambda devices: TrainerProcess(devices, FAKE))
    job = job_rows.submit(database, "drain")
    threading.Timer(0.2, stop.set).start()
    assert slot.run(job.id, 0) == "queued"
    assert slot.run(job_rows.submit(database).id, 0) is None  # a stopping worker takes nothing
    slot.close()


def test_attempt_that_does_not_stop_in_its_grace_is_lost(tmp_path, database: Database) -> None:  # type: ignore[no-untyped-def]
    settings = Settings(data_dir=tmp_path, grace_s=0.3)
    stop = threading.Event()
    slot = Slot(settings, database, draining=stop.is_set, start_trainer=lambda devices: TrainerProcess(devices, FAKE))
    job = job_rows.submit(database, "hang")
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    assert slot.run(job.id, 0) == "lost"
    assert time.monotonic() - began < 50  # the trainer hangs for 60 s
    assert job_rows.job(database, job.id).state == "QUEUED"
    slot.close()


def test_queue_cap_leaves_the_job_waiting(tmp_path, database: Database) -> None:  # type: ignore[no-untyped-def]
    slot = Slot(
        Settings(data_dir=tmp_path, queue_caps="gpu=0, default=2"),
        database,
        start_trainer=lambda devices: TrainerProcess(devices, FAKE),
    )
    assert slot.run(job_rows.submit(database, queue="gpu").id, 0) is None
    assert slot.run(job_rows.submit(database).id, 0) == "succeeded"
    slot.close()


def test_worker_refuses_a_job_of_a_newer_database(slot: Slot, database: Database) -> None:
    job = job_rows.submit(database)
    set_revision(database, "9999")
    try:
        assert slot.run(job.id, 0) is None
        assert job_rows.job(database, job.id).attempt == 0
    finally:
        set_revision(database, HEAD)
    assert slot.run(job.id, 0) == "succeeded"


def set_revision(database: Database, revision: str) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_trainer_over_its_memory_limit_is_ended(slot: Slot, database: Database) -> None:
    job = job_rows.submit(database, "eat", memory_limit=100_000_000)  # it eats 200 MB
    assert slot.run(job.id, 0) == "queued"
    found = job_rows.job(database, job.id)
    assert (found.error_kind, found.counted_attempts) == ("out_of_memory", 1)
    (attempt,) = job_rows.attempts(database, job.id)
    assert attempt.state == "FAILED"
    assert attempt.peak_memory_bytes > 100_000_000
    assert slot.run(job_rows.submit(database).id, 0) == "succeeded"  # with a new trainer


def test_memory_that_runs_out_twice_fails_the_job(tmp_path: Path, database: Database) -> None:
    settings = Settings(data_dir=tmp_path, retry_backoff_s=0.0)
    slot = Slot(settings, database, start_trainer=lambda devices: TrainerProcess(devices, FAKE))
    job = job_rows.submit(database, "eat", memory_limit=100_000_000, max_attempts=10)
    assert [slot.run(job.id, seen) for seen in range(2)] == ["queued", "failed"]
    found = job_rows.job(database, job.id)
    assert (found.state, found.error_kind) == ("FAILED", "out_of_memory")
    assert "100000000" in found.error_detail
    slot.close()


def test_trainer_that_the_kernel_ended_is_out_of_memory(tmp_path: Path, database: Database) -> None:
    settings = Settings(data_dir=tmp_path, retry_backoff_s=0.0)
    kills = iter([4, 5, 5, 6])  # as the kernel counts: before and after each attempt

    def start(devices: Devices) -> TrainerProcess:
        return TrainerProcess(devices, FAKE)

    slot = Slot(settings, database, start_trainer=start, oom_kills=lambda: next(kills))
    job = job_rows.submit(database, "die", max_attempts=10)
    assert [slot.run(job.id, seen) for seen in range(2)] == ["queued", "failed"]
    found = job_rows.job(database, job.id)
    assert (found.state, found.error_kind) == ("FAILED", "out_of_memory")
    assert "memory ran out" in found.error_detail
    assert [attempt.exit_signal for attempt in job_rows.attempts(database, job.id)] == [signal.SIGKILL] * 2
    slot.close()


@pytest.mark.parametrize(("do", "kills"), [("die", [4, 4]), ("exit", [4, 5]), ("die", [None, None])])
def test_other_deaths_are_losses(database: Database, tmp_path: Path, do: str, kills: list[int | None]) -> None:
    counts = iter(kills)
    slot = Slot(
        Settings(data_dir=tmp_path),
        database,
        start_trainer=lambda devices: TrainerProcess(devices, FAKE),
        oom_kills=lambda: next(counts),
    )
    job = job_rows.submit(database, do)
    assert slot.run(job.id, 0) == "lost"
    assert job_rows.job(database, job.id).error_kind is None
    slot.close()


def test_trainer_under_its_memory_limit_goes_on(slot: Slot, database: Database) -> None:
    job = job_rows.submit(database, "start late", memory_limit=2**29)
    assert slot.run(job.id, 0) == "succeeded"


def gpu_slot(data_dir: Path, database: Database, gpus: str) -> Slot:
    settings = Settings(data_dir=data_dir, gpus=gpus)
    return Slot(settings, database, start_trainer=lambda devices: TrainerProcess(devices, FAKE))


def seen_devices(slot: Slot) -> str | None:
    """`CUDA_VISIBLE_DEVICES` of the slot's trainer process."""
    slot.warm_up()
    assert slot.trainer is not None
    while not slot.trainer.ready:  # right after the start /proc has no environment yet
        slot.trainer.receive(0.1)
    environment = psutil.Process(slot.trainer.pid).environ()
    return environment.get("CUDA_VISIBLE_DEVICES")


def test_each_slot_takes_a_gpu_of_its_own(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")  # of the worker's own environment
    first, second = gpu_slot(tmp_path, database, "0,3"), gpu_slot(tmp_path, database, "0,3")
    cpu, free = gpu_slot(tmp_path, database, "none"), gpu_slot(tmp_path, database, "")
    try:
        assert [seen_devices(slot) for slot in (first, second, cpu, free)] == ["0", "3", "", "7"]
    finally:
        for slot in (first, second, cpu, free):
            slot.close()


def test_slot_without_a_free_gpu_claims_nothing_until_one_is_free(tmp_path: Path, database: Database) -> None:
    holder, late = gpu_slot(tmp_path, database, "0"), gpu_slot(tmp_path, database, "0")
    job = job_rows.submit(database)
    assert seen_devices(holder) == "0"
    assert late.run(job.id, 0) is None
    assert (late.trainer, job_rows.job(database, job.id).state) == (None, "QUEUED")
    holder.close()
    assert late.run(job.id, 0) == "succeeded"
    assert seen_devices(late) == "0"
    late.close()


def test_gpu_stays_taken_while_the_trainer_of_a_dead_worker_lives(tmp_path: Path, database: Database) -> None:
    holder, late = gpu_slot(tmp_path, database, "0"), gpu_slot(tmp_path, database, "0")
    assert seen_devices(holder) == "0"
    assert holder.trainer is not None
    holder.devices.close()  # what the system does when the worker is killed
    assert not late.devices.take()
    holder.trainer.kill()
    assert late.devices.take()
    late.close()
