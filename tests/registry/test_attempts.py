from __future__ import annotations

import math

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.jobs.state import HOPELESS
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import seconds
from app.registry.evaluations import EvaluationRepository
from app.registry.events import EventRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.attempts import MAX_BACKOFF_S, HeartbeatReply
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from app.registry.tables import Attempt, Job
from tests.registry.conftest import due, make_claim, make_job
from tests.repositories import attempts
from tests.specs import job_spec


def last_attempt(jobs: JobRepository, job_id: str) -> Attempt:
    attempt = jobs.attempts(job_id)[-1]
    jobs.session.refresh(attempt)
    return attempt


def save(session: Session, job_id: str, attempt: int, step: int) -> None:
    assert CheckpointRepository(session).add(job_id, attempt, step, f"jobs/{job_id}/{attempt}/model.ckpt-{step}", 10)


def test_claim_takes_the_job_and_its_specification(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, timeout_s=30)
    claim = attempts(session).claim(job.id, 0, "host:1", 15)
    assert claim is not None
    assert (claim.attempt, claim.spec) == (1, job_spec())
    assert (claim.timeout_s, claim.resume) == (30, None)
    row = jobs.get(job.id)
    assert (row.state, row.worker) == ("RUNNING", "host:1")
    assert row.lease_expires_at is not None
    assert 10 < row.lease_expires_at - seconds(session) < 20
    assert row.started_at is not None
    assert last_attempt(jobs, job.id).state == "RUNNING"


def test_job_whose_specification_cannot_be_read_fails_with_the_field(session: Session, jobs: JobRepository) -> None:
    job = make_job(session)
    session.execute(update(Job).where(Job.id == job.id).values(spec=job.spec | {"later": 1}))
    assert attempts(session).claim(job.id, 0, "host:1", 15) is None
    row = jobs.get(job.id)
    assert (row.state, row.error_kind) == ("FAILED", "invalid_spec")
    assert "train/later" in row.error_detail
    assert last_attempt(jobs, job.id).state == "FAILED"


def test_claim_is_refused_with_an_old_attempt_or_twice(session: Session, jobs: JobRepository) -> None:
    job = make_job(session)
    assert attempts(session).claim(job.id, 1, "w", 15) is None
    assert attempts(session).claim(job.id, 0, "w", 15) is not None
    assert attempts(session).claim(job.id, 0, "w", 15) is None
    assert attempts(session).claim(job.id, 1, "w", 15) is None
    attempts(session).succeed(job.id, 1, {})
    assert attempts(session).claim(job.id, 1, "w", 15) is None


def test_claim_waits_for_the_end_of_the_back_off(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    assert attempts(session).fail(claim.job_id, 1, "internal", "x") == "queued"
    assert attempts(session).claim(claim.job_id, 1, "w", 15) is None
    due(session, claim.job_id)
    assert attempts(session).claim(claim.job_id, 1, "w", 15) is not None


def test_claim_resumes_from_the_latest_checkpoint_of_any_attempt(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    save(session, claim.job_id, 1, 500)
    save(session, claim.job_id, 1, 1000)
    attempts(session).lose(claim.job_id, 1, "gone")
    claim = make_claim(session, jobs.get(claim.job_id))
    assert claim.resume is not None
    assert (claim.resume.step, claim.resume.attempt) == (1000, 1)
    assert claim.resume.path == f"jobs/{claim.job_id}/1/model.ckpt-1000"
    assert last_attempt(jobs, claim.job_id).resumed_from_step == 1000


def test_claim_keeps_to_the_cap_of_a_queue(session: Session, jobs: JobRepository) -> None:
    first, second, other = (make_job(session, queue=queue) for queue in ("gpu", "gpu", "cpu"))
    assert attempts(session).claim(first.id, 0, "w", 15, queue_cap=1) is not None
    assert attempts(session).claim(second.id, 0, "w", 15, queue_cap=1) is None
    assert attempts(session).claim(other.id, 0, "w", 15, queue_cap=1) is not None
    attempts(session).succeed(first.id, 1, {})
    assert attempts(session).claim(second.id, 0, "w", 15, queue_cap=1) is not None


def test_heartbeat_extends_the_lease_and_carries_progress(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session, lease_s=1)
    progress = {"step": 10, "max_steps": 100, "loss": math.nan}
    assert attempts(session).heartbeat(claim.job_id, 1, 60, progress) == HeartbeatReply(cancel=False, drain=False)
    job = jobs.get(claim.job_id)
    assert job.lease_expires_at is not None
    assert job.lease_expires_at - seconds(session) > 50
    assert job.progress == {"step": 10, "max_steps": 100, "loss": None}
    attempts(session).heartbeat(claim.job_id, 1, 60, {"step": 25})
    attempt = last_attempt(jobs, claim.job_id)
    assert (attempt.first_step, attempt.last_step) == (10, 25)


def test_heartbeat_without_progress_keeps_the_last(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    attempts(session).heartbeat(claim.job_id, 1, 60, {"step": 10})
    attempts(session).heartbeat(claim.job_id, 1, 60)
    assert jobs.get(claim.job_id).progress == {"step": 10}


def test_heartbeat_brings_back_cancel_and_drain(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    assert jobs.request_drain() == 1
    assert attempts(session).heartbeat(claim.job_id, 1, 60) == HeartbeatReply(cancel=False, drain=True)
    jobs.request_cancel(claim.job_id)
    assert attempts(session).heartbeat(claim.job_id, 1, 60) == HeartbeatReply(cancel=True, drain=True)


def test_one_progress_event_is_kept(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    seen = 0
    for step in range(5):
        attempts(session).heartbeat(claim.job_id, 1, 60, {"step": step})
        events = [event for event in EventRepository(session).after(claim.job_id) if event.kind == "progress"]
        assert [event.data["step"] for event in events] == [step]
        assert events[0].id > seen
        seen = events[0].id


def test_every_write_of_a_fenced_attempt_is_refused(session: Session, jobs: JobRepository) -> None:
    late = make_claim(session)
    attempts(session).lose(late.job_id, 1, "silent")
    make_claim(session, jobs.get(late.job_id))
    before = jobs.get(late.job_id).progress
    events = EventRepository(session).last_id(late.job_id)
    args = (late.job_id, late.attempt)
    assert attempts(session).heartbeat(*args, 60, {"step": 99}) is None
    assert attempts(session).end_attempt(*args, last_step=99) is False
    assert attempts(session).succeed(*args, {"step": 99}) is False
    assert attempts(session).fail(*args, "internal", "x") is None
    assert attempts(session).cancelled(*args) is False
    assert attempts(session).lose(*args, "x") is None
    assert attempts(session).release(*args) is None
    assert CheckpointRepository(session).add(*args, 99, "x", 1) is None
    assert MetricRepository(session).add_points(*args, [("loss", 99, 1.0)]) is False
    assert EvaluationRepository(session).add(*args, train_job_id=None, step=99, metrics={}) is None
    assert ExportRepository(session).add(*args, train_job_id="x", step=9, path="x", digest="x", bytes=1) is None
    job = jobs.get(late.job_id)
    assert (job.state, job.attempt, job.progress) == ("RUNNING", 2, before)
    assert EventRepository(session).last_id(late.job_id) == events
    assert MetricRepository(session).names(late.job_id) == []
    assert [row.state for row in jobs.attempts(late.job_id)] == ["LOST", "RUNNING"]


def test_ended_job_takes_no_write_of_its_last_attempt(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    attempts(session).succeed(claim.job_id, 1, {})
    assert attempts(session).heartbeat(claim.job_id, 1, 60) is None
    assert attempts(session).fail(claim.job_id, 1, "internal", "x") is None
    assert CheckpointRepository(session).add(claim.job_id, 1, 5, "x", 1) is None
    assert jobs.get(claim.job_id).state == "SUCCEEDED"


def test_succeed_ends_job_and_attempt(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    assert attempts(session).end_attempt(claim.job_id, 1, first_step=0, last_step=100, peak_memory_bytes=2**33)
    assert attempts(session).succeed(claim.job_id, 1, {"export": "exp_1"})
    job = jobs.get(claim.job_id)
    assert (job.state, job.result, job.worker, job.lease_expires_at) == ("SUCCEEDED", {"export": "exp_1"}, None, None)
    attempt = last_attempt(jobs, claim.job_id)
    assert (attempt.state, attempt.first_step, attempt.last_step) == ("SUCCEEDED", 0, 100)
    assert attempt.peak_memory_bytes == 2**33
    assert attempt.ended_at is not None


def test_cancelled_needs_somebody_who_asked(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    assert attempts(session).cancelled(claim.job_id, 1) is False
    jobs.request_cancel(claim.job_id)
    assert attempts(session).cancelled(claim.job_id, 1) is True
    assert last_attempt(jobs, claim.job_id).state == "CANCELLED"


@pytest.mark.parametrize("kind", sorted(HOPELESS))
def test_hopeless_failure_ends_the_job_at_once(session: Session, jobs: JobRepository, kind: str) -> None:
    claim = make_claim(session)
    assert attempts(session).fail(claim.job_id, 1, kind, "No.") == "failed"
    job = jobs.get(claim.job_id)
    assert (job.state, job.error_kind, job.error_detail) == ("FAILED", kind, "No.")
    assert last_attempt(jobs, claim.job_id).reason == f"{kind}: No."


def test_failures_are_tried_again_up_to_the_cap_with_growing_pauses(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, max_attempts=3)
    pauses = []
    for attempt in (1, 2):
        make_claim(session, job)
        assert attempts(session).fail(job.id, attempt, "internal", "x") == "queued"
        pauses.append(jobs.get(job.id).not_before - seconds(session))
        assert jobs.get(job.id).error_kind == "internal"
    # 2 s, then 2 * 2 s, less what the statements took
    assert 1 < pauses[0] <= 2
    assert 3 < pauses[1] <= 4
    make_claim(session, job)
    assert attempts(session).fail(job.id, 3, "internal", "x") == "failed"
    assert jobs.get(job.id).counted_attempts == 3


def test_back_off_has_a_cap(session: Session) -> None:
    jobs, patient = JobRepository(session), attempts(session, retry_backoff_s=200)
    job = make_job(session, max_attempts=10)
    for attempt in (1, 2):  # 200 s, then 400 s but for the cap of 300 s
        make_claim(session, job)
        patient.fail(job.id, attempt, "internal", "x")
    assert MAX_BACKOFF_S - 5 < jobs.get(job.id).not_before - seconds(session) <= MAX_BACKOFF_S


def test_hopeless_argument_decides(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    assert attempts(session).fail(claim.job_id, 1, "nan_loss", "x", hopeless=False) == "queued"
    make_claim(session, jobs.get(claim.job_id))
    assert attempts(session).fail(claim.job_id, 2, "internal", "x", hopeless=True) == "failed"


def test_out_of_memory_twice_ends_the_job(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, max_attempts=10)
    make_claim(session, job)
    assert attempts(session).fail(job.id, 1, "out_of_memory", "x") == "queued"
    make_claim(session, job)
    assert attempts(session).lose(job.id, 2, "gone") == "queued"  # a loss in between does not wipe it out
    make_claim(session, job)
    assert attempts(session).fail(job.id, 3, "out_of_memory", "x") == "failed"


def test_loss_with_a_new_checkpoint_does_not_count(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, max_attempts=1)
    for attempt in range(1, 6):
        make_claim(session, job)
        save(session, job.id, attempt, attempt * 100)
        assert attempts(session).lose(job.id, attempt, "killed", exit_signal=9, peak_memory_bytes=5) == "queued"
        row = jobs.get(job.id)
        assert (row.counted_attempts, row.error_kind) == (0, None)
        assert row.not_before <= seconds(session)
    lost = last_attempt(jobs, job.id)
    assert (lost.state, lost.reason, lost.exit_signal, lost.peak_memory_bytes) == ("LOST", "killed", 9, 5)


def test_loss_without_a_new_checkpoint_counts(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, max_attempts=2)
    make_claim(session, job)
    save(session, job.id, 1, 0)  # the one of the start moves nothing forward
    assert attempts(session).lose(job.id, 1, "killed") == "queued"
    make_claim(session, job)
    save(session, job.id, 2, 100)
    assert attempts(session).lose(job.id, 2, "killed") == "queued"
    make_claim(session, job)
    save(session, job.id, 3, 100)  # the one it started from, again
    assert attempts(session).lose(job.id, 3, "killed") == "failed"
    row = jobs.get(job.id)
    assert (row.error_kind, row.error_detail, row.counted_attempts) == ("lost", "killed", 2)


def test_failure_counts_even_after_a_new_checkpoint(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, max_attempts=1)
    make_claim(session, job)
    save(session, job.id, 1, 100)
    assert attempts(session).fail(job.id, 1, "internal", "x") == "failed"


def test_release_gives_the_job_back_to_its_place(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, max_attempts=1)
    created = job.created_at
    make_claim(session, job)
    jobs.request_drain()
    save(session, job.id, 1, 100)
    assert attempts(session).release(job.id, 1) == "queued"
    row = jobs.get(job.id)
    assert (row.state, row.created_at, row.drain_requested, row.counted_attempts) == ("QUEUED", created, False, 0)
    assert row.not_before <= seconds(session)
    assert last_attempt(jobs, job.id).state == "DRAINED"


@pytest.mark.parametrize("end", ["lose", "fail", "release"])
def test_end_without_success_of_a_job_to_be_cancelled_cancels_it(
    session: Session, jobs: JobRepository, end: str
) -> None:
    claim = make_claim(session)
    jobs.request_cancel(claim.job_id)
    outcome = {
        "lose": lambda: attempts(session).lose(claim.job_id, 1, "x"),
        "fail": lambda: attempts(session).fail(claim.job_id, 1, "internal", "x"),
        "release": lambda: attempts(session).release(claim.job_id, 1),
    }[end]()
    assert outcome == "cancelled"
    assert jobs.get(claim.job_id).state == "CANCELLED"


def test_each_return_to_the_queue_enqueues_one_message(session: Session, jobs: JobRepository) -> None:
    outbox = OutboxRepository(session)
    claim = make_claim(session)
    outbox.delete([message.id for message in outbox.for_job(claim.job_id)])
    attempts(session).fail(claim.job_id, 1, "internal", "x")
    assert [message.attempt for message in outbox.for_job(claim.job_id)] == [1]
    assert outbox.pending() == []  # not before its pause is over
    due(session, claim.job_id)
    assert [message.attempt for message in outbox.pending()] == [1]


def test_strange_messages_cannot_keep_a_job_from_ending(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    assert attempts(session).fail(claim.job_id, 1, "invalid_data", "NUL \0 half \ud800 " + "x" * 50_000) == "failed"
    detail = jobs.get(claim.job_id).error_detail
    jobs.session.expire_all()
    detail = jobs.get(claim.job_id).error_detail
    assert detail is not None
    assert detail.startswith("NUL � half ? xxx")
    assert len(detail) == 10_000
