from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.registry.db import Database
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from tests.fakes import ManualClock, SilentDatabase
from tests.repositories import attempts
from tests.waiting import wait_for
from tests.workers import job_rows
from workers.attempt.heartbeat import HUNG, Heartbeat
from workers.attempt.progress import ProgressBuffer
from workers.attempt.stop import Stop, StopSignal


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def stop_signal(clock: ManualClock) -> StopSignal:
    return StopSignal(clock)


@pytest.fixture
def progress() -> ProgressBuffer:
    return ProgressBuffer()


@pytest.fixture
def job_id(database: Database) -> str:
    job = job_rows.submit(database)
    with database.session() as session:
        assert attempts(session).claim(job.id, 0, "w", lease_s=60)
    return job.id


Make = Callable[..., Heartbeat]


@pytest.fixture
def make(database: Database, stop_signal: StopSignal, progress: ProgressBuffer, job_id: str) -> Make:
    def made(**changes: Any) -> Heartbeat:
        given: dict[str, Any] = {"lease_s": 60.0, "every_s": 0.01, "timeout_s": None, "grace_s": 60.0}
        given["retry_backoff_s"] = 2.0
        given |= changes
        return Heartbeat(given.pop("database", database), job_id, 1, stop_signal, progress, **given)

    return made


def test_beat_carries_progress_and_points(
    make: Make, database: Database, progress: ProgressBuffer, job_id: str
) -> None:
    progress.update(step=7, loss=0.5)
    progress.add_point("loss", 7, 0.5)
    make().beat()
    assert job_rows.job(database, job_id).progress["step"] == 7
    with database.read() as session:
        assert MetricRepository(session).series(job_id, "loss") == [(7, 0.5)]
    assert progress.points() == []
    assert job_rows.attempts(database, job_id)[0].last_step == 7


def test_beat_brings_back_a_cancel(make: Make, database: Database, stop_signal: StopSignal, job_id: str) -> None:
    with database.session() as session:
        JobRepository(session).request_cancel(job_id)
    make().beat()
    assert stop_signal.reason is Stop.CANCEL


def test_lost_attempt_is_fenced(make: Make, database: Database, stop_signal: StopSignal, job_id: str) -> None:
    with database.session() as session:
        attempts(session).lose(job_id, 1, "late")
    make().beat()
    assert stop_signal.reason is Stop.FENCED


def test_time_limit_stops(make: Make, stop_signal: StopSignal, clock: ManualClock) -> None:
    beat = make(timeout_s=5.0, clock=clock)
    beat.beat()
    assert stop_signal.reason is None
    clock.advance(5.1)
    beat.beat()
    assert stop_signal.reason is Stop.TIMEOUT


def test_silent_registry_stops_the_attempt_only_when_the_lease_is_nearly_over(
    make: Make, stop_signal: StopSignal, clock: ManualClock
) -> None:
    beat = make(database=SilentDatabase(), lease_s=10.0, clock=clock)
    clock.advance(6.9)
    beat.beat()
    assert stop_signal.reason is None
    clock.advance(0.2)  # more than seven tenths of the lease
    beat.beat()
    assert stop_signal.reason is Stop.UNREACHABLE


def test_points_wait_while_the_registry_is_silent(make: Make, progress: ProgressBuffer) -> None:
    progress.add_point("loss", 1, 0.5)
    make(database=SilentDatabase()).beat()
    assert progress.points() == [("loss", 1, 0.5)]


def test_attempt_that_hangs_is_ended_with_its_process(
    make: Make, database: Database, job_id: str, clock: ManualClock
) -> None:
    codes: list[int] = []
    beat = make(timeout_s=5.0, grace_s=30.0, die=codes.append, clock=clock)
    clock.advance(5.1)
    beat.beat()
    clock.advance(29.9)
    beat.beat()
    assert codes == []
    clock.advance(0.2)
    beat.beat()
    assert codes == [HUNG]
    job = job_rows.job(database, job_id)
    assert (job.state, job.error_kind) == ("FAILED", "timeout")


def test_thread_beats_until_it_is_stopped(
    make: Make, database: Database, progress: ProgressBuffer, job_id: str
) -> None:
    beat = make()
    beat.start()
    progress.update(step=3)
    wait_for(lambda: job_rows.job(database, job_id).progress.get("step") == 3)
    beat.stop()
    assert not beat.is_alive()


def test_more_urgent_reason_wins(stop_signal: StopSignal) -> None:
    for reason in (Stop.DRAIN, Stop.CANCEL, Stop.DRAIN):
        stop_signal.request(reason)
    assert stop_signal.reason is Stop.CANCEL
    stop_signal.request(Stop.FENCED)
    stop_signal.request(Stop.CANCEL)
    assert stop_signal.reason is Stop.FENCED


def test_drain_is_requested_by_the_next_beat(make: Make, stop_signal: StopSignal) -> None:
    draining = [False, True]
    beat = make(drain=lambda: draining.pop(0))
    beat.beat()
    assert stop_signal.reason is None
    beat.beat()
    assert stop_signal.reason is Stop.DRAIN
