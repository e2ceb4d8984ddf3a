from __future__ import annotations

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.registry.db import now
from app.registry.jobs.outbox import OutboxRepository, WakeUp
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Job
from tests.registry.conftest import due, make_claim, make_job, past_lease
from tests.repositories import attempts, reconcile


def test_unsent_gives_waiting_jobs_that_were_never_sent(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, queue="gpu", priority=2)
    make_claim(session)
    assert reconcile(session).unsent(10) == [WakeUp(job.id, 0, "gpu", 2)]


def test_unsent_gives_a_job_again_when_its_message_is_old(session: Session, jobs: JobRepository) -> None:
    job = make_job(session)
    reconcile(session).mark_sent(job.id)
    assert reconcile(session).unsent(10) == []
    session.execute(update(Job).values(sent_at=now() - 11))
    assert [wake_up.job_id for wake_up in reconcile(session).unsent(10)] == [job.id]


def test_unsent_leaves_jobs_in_back_off_alone(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    attempts(session).fail(claim.job_id, 1, "internal", "x")
    assert reconcile(session).unsent(10) == []
    due(session, claim.job_id)
    assert reconcile(session).unsent(10) == [WakeUp(claim.job_id, 1, "default", 5)]


def test_unsent_looks_at_the_head_of_each_queue(session: Session, jobs: JobRepository) -> None:
    slow = [make_job(session, queue="gpu", priority=priority).id for priority in (5, 5, 0)]
    quick = make_job(session, queue="cpu").id
    # two of each queue: priority 0 first, then by age
    assert {wake_up.job_id for wake_up in reconcile(session).unsent(10, limit=2)} == {slow[2], slow[0], quick}
    reconcile(session).mark_sent(slow[2])
    assert {wake_up.job_id for wake_up in reconcile(session).unsent(10, limit=2)} == {slow[0], quick}


def test_returned_job_counts_as_unsent(session: Session, jobs: JobRepository) -> None:
    job = make_job(session)
    reconcile(session).mark_sent(job.id)
    make_claim(session, job)
    attempts(session).lose(job.id, 1, "gone")
    due(session, job.id)
    assert reconcile(session).unsent(10) == [WakeUp(job.id, 1, "default", 5)]


def test_expired_lease_gives_the_job_back(session: Session, jobs: JobRepository) -> None:
    late, alive = make_claim(session), make_claim(session)
    past_lease(session, late.job_id)
    assert reconcile(session).expire_leases() == [late.job_id]
    assert reconcile(session).expire_leases() == []
    assert jobs.get(late.job_id).state == "QUEUED"
    assert jobs.get(alive.job_id).state == "RUNNING"
    assert jobs.attempts(late.job_id)[0].state == "LOST"


def test_expired_lease_of_the_last_attempt_fails_the_job(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session, make_job(session, max_attempts=1))
    past_lease(session, claim.job_id)
    assert reconcile(session).expire_leases() == [claim.job_id]
    assert (jobs.get(claim.job_id).state, jobs.get(claim.job_id).error_kind) == ("FAILED", "lost")


def test_expire_leases_takes_the_oldest_first_up_to_the_limit(session: Session, jobs: JobRepository) -> None:
    claims = [make_claim(session) for _ in range(3)]
    for age, claim in zip((1, 3, 2), claims, strict=True):
        session.execute(update(Job).where(Job.id == claim.job_id).values(lease_expires_at=now() - age))
    assert reconcile(session).expire_leases(limit=2) == [claims[1].job_id, claims[2].job_id]


def test_late_heartbeat_before_the_reconciler_came_saves_the_attempt(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    past_lease(session, claim.job_id)
    assert attempts(session).heartbeat(claim.job_id, 1, 60) is not None
    assert reconcile(session).expire_leases() == []


def test_waiting_limit_fails_a_job_that_nobody_takes(session: Session, jobs: JobRepository) -> None:
    impatient, patient = make_job(session, wait_timeout_s=60), make_job(session)
    assert reconcile(session).expire_waiting() == []
    session.execute(update(Job).values(not_before=now() - 61))
    assert reconcile(session).expire_waiting() == [impatient.id]
    job = jobs.get(impatient.id)
    assert (job.state, job.error_kind) == ("FAILED", "timeout")
    assert job.error_detail == "No worker took the job within its waiting limit of 60 s."
    assert jobs.get(patient.id).state == "QUEUED"


def test_drain_asks_the_running_jobs_of_a_queue(session: Session, jobs: JobRepository) -> None:
    gpu = make_claim(session, make_job(session, queue="gpu"))
    cpu = make_claim(session, make_job(session, queue="cpu"))
    assert jobs.request_drain(queue="gpu") == 1
    assert jobs.get(gpu.job_id).drain_requested
    assert not jobs.get(cpu.job_id).drain_requested


def test_sent_message_is_gone_and_noted_at_its_job(session: Session, jobs: JobRepository) -> None:
    job = make_job(session)
    outbox = OutboxRepository(session)
    [message] = outbox.pending()
    outbox.mark_sent(message)
    assert outbox.pending() == []
    assert jobs.get(job.id).sent_at is not None


def test_message_of_an_older_attempt_is_not_noted(session: Session, jobs: JobRepository) -> None:
    job = make_job(session)
    outbox = OutboxRepository(session)
    [old] = outbox.pending()
    make_claim(session, job)
    attempts(session).lose(job.id, 1, "gone")
    outbox.mark_sent(old)
    assert jobs.get(job.id).sent_at is None
    assert [message.attempt for message in outbox.for_job(job.id)] == [1]


def test_pending_gives_the_oldest_first(session: Session) -> None:
    made = [make_job(session).id for _ in range(3)]
    assert [message.job_id for message in OutboxRepository(session).pending(limit=2)] == made[:2]


@pytest.mark.parametrize("deleted", [0, 2])
def test_message_numbers_are_never_used_twice(session: Session, deleted: int) -> None:
    outbox = OutboxRepository(session)
    for _ in range(3):
        make_job(session)
    numbers = [message.id for message in outbox.pending()]
    outbox.delete([numbers[deleted]])
    make_job(session)
    assert outbox.pending()[-1].id > max(numbers)
