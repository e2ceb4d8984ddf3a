from __future__ import annotations

import random

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.jobs.state import JobState
from app.registry.db import Database, now
from app.registry.jobs.gangs import GangRepository, SeatKey
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Job, Seat
from app.registry.workers import WorkerReport, WorkerRepository
from tests.registry.conftest import make_job
from tests.repositories import attempts, reconcile


def make_gang(session: Session, workers: int, devices: int = 1, **changes: object) -> Job:
    return make_job(session, spec={"resources": {"workers": workers, "devices": devices}}, **changes)


def gangs(session: Session) -> GangRepository:
    return GangRepository(session, attempts(session, retry_backoff_s=0.0))


def take(session: Session, job: Job, worker: str, **given: object) -> SeatKey | None:
    attempt = JobRepository(session).get(job.id).attempt
    return gangs(session).take_seat(job.id, attempt, worker, f"{worker}:1", 60.0, **given)


def expire_seat(session: Session, key: SeatKey) -> None:
    at = (Seat.job_id == key.job_id) & (Seat.number == key.number)
    session.execute(update(Seat).where(at).values(lease_expires_at=now() - 1))


def test_attempt_runs_when_all_seats_are_held(session: Session) -> None:
    job = make_gang(session, 3)
    assert len(OutboxRepository(session).for_job(job.id)) == 3
    keys = [take(session, job, name) for name in ("a", "b")]
    assert keys == [SeatKey(job.id, 1, 0), SeatKey(job.id, 1, 1)]
    assert all(gangs(session).member(key) is None and gangs(session).keep_seat(key, 60) for key in keys if key)
    assert JobRepository(session).get(job.id).state == "QUEUED"
    last = take(session, job, "c")
    assert last == SeatKey(job.id, 1, 2)
    row = JobRepository(session).get(job.id)
    assert (row.state, row.attempt, row.worker) == ("RUNNING", 1, "a")
    claim = gangs(session).member(last)
    assert claim is not None
    assert claim.gang is not None
    assert (claim.gang.addresses, claim.gang.number) == (("a:1", "b:1", "c:1"), 2)
    assert take(session, job, "d") is None
    (attempt,) = JobRepository(session).attempts(job.id)
    assert (attempt.state, attempt.worker) == ("RUNNING", "a")


def test_chief_keeps_its_seat_as_long_as_its_job_runs(session: Session) -> None:
    """Its worker extends the lease of the job, not that of the seat."""
    job = make_gang(session, 2)
    chief, member = take(session, job, "a"), take(session, job, "b")
    assert chief is not None
    assert member is not None
    session.execute(update(Seat).where(Seat.number == 0).values(lease_expires_at=now() - 3600))

    gangs(session).purge()
    row = JobRepository(session).get(job.id)
    assert [(seat.number, seat.worker) for seat in JobRepository(session).seats(row)] == [(0, "a"), (1, "b")]
    expire_seat(session, member)
    assert [seat.worker for seat in JobRepository(session).seats(row)] == ["a"]
    assert attempts(session).succeed(job.id, 1, {})
    gangs(session).purge()
    assert session.scalar(select(func.count()).select_from(Seat).where(Seat.number == 0)) == 0


def test_only_the_first_gang_of_a_queue_forms(session: Session) -> None:
    older, younger = make_gang(session, 2), make_gang(session, 2)
    urgent = make_gang(session, 2, priority=1)
    assert take(session, older, "a") is None
    assert take(session, urgent, "a") is not None
    newcomer = make_gang(session, 2, priority=0)
    assert take(session, newcomer, "b") is None  # the one that holds seats goes on
    assert take(session, urgent, "b") is not None
    for job in (newcomer, older, younger):
        assert [take(session, job, name) is not None for name in "cd"] == [True, True]


def test_gang_that_does_not_fill_lets_others_go_first(session: Session) -> None:
    big, small = make_gang(session, 4), make_gang(session, 2)
    keys = [take(session, big, name) for name in "ab"]
    assert take(session, small, "c") is None
    first, second = keys
    assert first is not None
    assert second is not None
    assert gangs(session).give_back(first, pause_s=60)
    assert not gangs(session).keep_seat(second, 60)  # the whole gang gives up
    assert gangs(session).give_back(second, pause_s=60)
    assert [take(session, small, name) is not None for name in "ab"] == [True, True]
    assert take(session, big, "c") is None  # its pause
    session.execute(update(Job).where(Job.id == big.id).values(forming_after=now() - 1))
    assert take(session, big, "c") is not None


def test_seat_of_a_gang_that_has_formed_is_not_given_back(session: Session) -> None:
    job = make_gang(session, 2)
    first = take(session, job, "a")
    take(session, job, "b")
    assert first is not None
    assert not gangs(session).give_back(first, pause_s=60)
    assert gangs(session).member(first) is not None


def test_seat_of_a_dead_worker_is_taken_by_another(session: Session) -> None:
    job = make_gang(session, 2)
    dead = take(session, job, "a")
    assert dead is not None
    expire_seat(session, dead)
    assert take(session, job, "b") == SeatKey(job.id, 1, 0)
    assert take(session, job, "c") == SeatKey(job.id, 1, 1)
    assert JobRepository(session).get(job.id).worker == "b"


def test_lost_seat_ends_the_attempt_and_the_next_forms_anew(session: Session) -> None:
    job = make_gang(session, 2)
    take(session, job, "a")
    member = take(session, job, "b")
    assert member is not None
    assert gangs(session).expire() == []
    expire_seat(session, member)
    assert gangs(session).expire() == [job.id]
    row = JobRepository(session).get(job.id)
    assert (row.state, row.attempt) == ("QUEUED", 1)
    (attempt,) = JobRepository(session).attempts(job.id)
    assert attempt.reason == "Worker 1 of the job (b) did not extend its lease in time."
    assert not gangs(session).keep_seat(member, 60)
    session.execute(update(Job).where(Job.id == job.id).values(not_before=now() - 1))
    assert [take(session, job, name) for name in "cd"] == [SeatKey(job.id, 2, 0), SeatKey(job.id, 2, 1)]


def test_seat_that_ran_out_while_its_gang_forms_is_not_kept(session: Session) -> None:
    older, younger = make_gang(session, 2), make_gang(session, 2)
    late = take(session, older, "a")
    assert late is not None
    expire_seat(session, late)
    session.execute(update(Job).where(Job.id == older.id).values(forming_after=now() + 60))
    assert take(session, younger, "b") == SeatKey(younger.id, 1, 0)
    assert not gangs(session).keep_seat(late, 60)  # or both would form, and each might hold half of the workers


def test_member_that_was_late_goes_on_while_its_attempt_runs(session: Session) -> None:
    job = make_gang(session, 2)
    take(session, job, "a")
    member = take(session, job, "b")
    assert member is not None
    expire_seat(session, member)
    assert gangs(session).keep_seat(member, 60)
    assert gangs(session).expire() == []


def test_cancel_while_forming_frees_the_seats(session: Session) -> None:
    job = make_gang(session, 2)
    key = take(session, job, "a")
    JobRepository(session).request_cancel(job.id)
    assert key is not None
    assert not gangs(session).keep_seat(key, 60)
    assert take(session, job, "b") is None


def test_worker_that_stops_has_the_whole_attempt_drained(session: Session) -> None:
    job = make_gang(session, 2)
    take(session, job, "a")
    member = take(session, job, "b")
    assert member is not None
    gangs(session).request_drain(member)
    reply = attempts(session).heartbeat(job.id, 1, 60)
    assert reply is not None
    assert reply.drain


def test_job_of_several_devices_needs_a_worker_that_has_them(session: Session) -> None:
    alone, together = make_gang(session, 1, devices=2), make_gang(session, 2, devices=4)
    assert {message.queue for message in OutboxRepository(session).pending()} == {
        "default:2-devices",
        "default:4-devices",
    }
    assert attempts(session).claim(alone.id, 0, "a", 60, devices=1) is None
    assert attempts(session).claim(alone.id, 0, "a", 60, devices=2) is not None
    assert take(session, together, "a", devices=2) is None
    assert take(session, together, "a", devices=4) is not None


def test_waiting_jobs_without_a_wide_worker_are_told(session: Session) -> None:
    make_gang(session, 1, devices=2)
    workers = WorkerRepository(session)
    workers.report(WorkerReport("a:1", ("default",), 1, ("cpu",), "1"))
    assert workers.queues_without_worker() == {"default:2-devices": 1}
    workers.report(WorkerReport("b:1", ("default:2-devices", "default"), 1, ("cpu", "cpu"), "1"))
    assert workers.queues_without_worker() == {}


def test_full_queue_takes_no_seats(session: Session) -> None:
    job = make_gang(session, 2)
    assert take(session, job, "a", queue_cap=0) is None
    assert session.scalar(select(func.count()).select_from(Seat)) == 0


def test_messages_of_a_gang_are_sent_again_for_all_its_seats(session: Session) -> None:
    job = make_gang(session, 3)
    assert [wake_up.job_id for wake_up in reconcile(session).unsent(0.0)] == [job.id] * 3


def test_random_gangs_never_hold_each_other_up(database: Database) -> None:
    """Four workers, jobs of one to four seats, workers that die and gangs that time out: every job is done, and never
    do two jobs that form hold seats."""
    rng = random.Random(1)
    with database.session() as session:
        jobs = [make_gang(session, rng.randint(1, 4), max_attempts=1000) for _ in range(5)]
    workers: dict[str, SeatKey | tuple[str, int] | None] = dict.fromkeys("abcd")
    for _ in range(1500):
        with database.session() as session:
            _step(session, rng, jobs, workers)
            forming = select(func.count(Seat.job_id.distinct())).join(Job, Job.id == Seat.job_id)
            held = forming.where(Job.state == JobState.QUEUED, Seat.attempt == Job.attempt + 1)
            assert (session.scalar(held.where(Seat.lease_expires_at >= now())) or 0) <= 1
            if all(JobRepository(session).get(job.id).state == "SUCCEEDED" for job in jobs):
                return
    raise AssertionError("some jobs were never done")


def _step(
    session: Session, rng: random.Random, jobs: list[Job], workers: dict[str, SeatKey | tuple[str, int] | None]
) -> None:
    """One thing that can happen: a worker takes a message, dies, gives up or ends its attempt."""
    name = rng.choice(list(workers))
    holds = workers[name]
    if holds is None:
        job = JobRepository(session).get(rng.choice(jobs).id)
        if job.state == "QUEUED" and job.seats > 1:
            workers[name] = take(session, job, name)
        elif job.state == "QUEUED" and attempts(session).claim(job.id, job.attempt, name, 60):
            workers[name] = (job.id, job.attempt)
    elif isinstance(holds, tuple):
        assert attempts(session).succeed(*holds, {})
        workers[name] = None
    elif not gangs(session).keep_seat(holds, 60):
        workers[name] = None
    elif gangs(session).member(holds) is None:
        if rng.random() < 0.3:
            gangs(session).give_back(holds, pause_s=0.001)
            workers[name] = None
    elif rng.random() < 0.2:
        expire_seat(session, holds)
        gangs(session).expire()
        session.execute(update(Job).where(Job.id == holds.job_id).values(not_before=0.0))
        workers[name] = None
    elif holds.number == 0:
        assert attempts(session).succeed(holds.job_id, holds.attempt, {})
        workers[name] = None
