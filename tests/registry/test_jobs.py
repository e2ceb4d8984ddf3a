from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound
from app.ids import is_id, new_id
from app.jobs.state import TRANSITIONS, JobState
from app.registry.db import seconds
from app.registry.deletion import DeletionRepository
from app.registry.events import EventRepository
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.repository import JobRepository
from app.registry.jobs.search import JobFilter
from app.registry.jobs.transitions import transition
from tests.registry.conftest import make_claim, make_dataset, make_job
from tests.repositories import attempts


def told(session: Session, job_id: str) -> list[str]:
    return [event.data["state"] for event in EventRepository(session).after(job_id) if event.kind == "state"]


def test_create_queues_a_job_tells_watchers_and_rings(session: Session, jobs: JobRepository) -> None:
    job = make_job(session, queue="gpu", priority=2, created_by="tok_1")
    assert is_id(job.id, "job")
    assert (job.state, job.attempt, job.cancel_requested, job.progress) == ("QUEUED", 0, False, {})
    assert abs(job.created_at - seconds(session)) < 5
    assert told(session, job.id) == ["QUEUED"]
    [message] = OutboxRepository(session).pending()
    assert (message.job_id, message.attempt, message.queue, message.priority) == (job.id, 0, "gpu", 2)


def test_get_of_an_unknown_job_is_not_found(jobs: JobRepository) -> None:
    with pytest.raises(NotFound):
        jobs.get(new_id("job"))


def test_create_refuses_a_data_set_that_is_gone(session: Session) -> None:
    data = make_dataset(session)
    gone = make_dataset(session)
    DeletionRepository(session).dataset(gone.id).apply()
    make_job(session, spec={"data": {"train": {"dataset": data.id}}})
    with pytest.raises(NotFound):
        make_job(session, spec={"data": {"train": {"dataset": data.id}, "eval": {"dataset": gone.id}}})


def test_using_finds_the_jobs_that_name_a_thing(session: Session, jobs: JobRepository) -> None:
    data = make_dataset(session)
    first = make_job(session, spec={"data": {"train": {"dataset": data.id}, "eval": {"dataset": data.id}}})
    second = make_job(
        session,
        spec={"warm_start_from": {"job": first.id, "step": 5}, "estimator": {"args": {"x": [[{"y": data.id}]]}}},
    )
    make_job(session)
    assert [job.id for job in jobs.using(data.id)] == [second.id, first.id]
    assert [job.id for job in jobs.using(first.id)] == [second.id]


def test_list_gives_pages_newest_first_that_do_not_shift(session: Session, jobs: JobRepository) -> None:
    made = [make_job(session).id for _ in range(5)]
    page, cursor = jobs.list(page_size=2)
    assert [job.id for job in page] == [made[4], made[3]]
    make_job(session)
    page, cursor = jobs.list(page_size=2, after=cursor)
    assert [job.id for job in page] == [made[2], made[1]]
    page, cursor = jobs.list(page_size=2, after=cursor)
    assert [job.id for job in page] == [made[0]]
    assert cursor is None


def test_list_filters_by_shown_state_type_and_model(session: Session, jobs: JobRepository) -> None:
    queued = make_job(session, model="a", type="evaluate")
    running = make_claim(session, make_job(session, model="a"))
    cancelling = make_claim(session, make_job(session, model="b"))
    jobs.request_cancel(cancelling.job_id)

    def listed(**filters: Any) -> list[str]:
        return [job.id for job in jobs.list(where=JobFilter(**filters))[0]]

    assert listed(state="QUEUED") == [queued.id]
    assert listed(state="RUNNING") == [running.job_id]
    assert listed(state="CANCELLING") == [cancelling.job_id]
    assert listed(state="SUCCEEDED") == []
    assert listed(model="a") == [running.job_id, queued.id]
    assert listed(type="evaluate") == [queued.id]
    assert listed(state="RUNNING", model="b") == []


@pytest.mark.parametrize("cursor", ["", "x", "!!", "bnVsbA", "WzEsMl0", "WyJ4IiwgIngiXQ", "W3RydWUsICJ4Il0"])
def test_list_refuses_a_foreign_cursor(jobs: JobRepository, cursor: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        jobs.list(after=cursor)
    assert caught.value.errors[0].pointer == "/page_token"


def test_counts(session: Session, jobs: JobRepository) -> None:
    for _ in range(3):
        make_job(session)
    make_claim(session)
    assert jobs.count_queued() == 3
    assert jobs.count_by_state() == {"QUEUED": 3, "RUNNING": 1}


def test_cancel_of_a_waiting_job_ends_it(session: Session, jobs: JobRepository) -> None:
    job = jobs.request_cancel(make_job(session).id)
    assert job.state == "CANCELLED"
    assert job.finished_at is not None
    assert told(session, job.id) == ["QUEUED", "CANCELLED"]


def test_cancel_of_a_running_job_asks_once(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    for _ in range(2):
        job = jobs.request_cancel(claim.job_id)
        assert (job.state, job.cancel_requested) == ("RUNNING", True)
    assert told(session, claim.job_id) == ["QUEUED", "RUNNING", "CANCELLING"]
    assert attempts(session).cancelled(claim.job_id, claim.attempt)
    assert jobs.get(claim.job_id).state == "CANCELLED"


def test_cancel_of_an_ended_job_is_a_conflict_with_the_true_state(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    attempts(session).succeed(claim.job_id, claim.attempt, {})
    with pytest.raises(Conflict, match="SUCCEEDED"):
        jobs.request_cancel(claim.job_id)
    with pytest.raises(NotFound):
        jobs.request_cancel(new_id("job"))


def test_cancel_that_comes_too_late_leaves_a_success(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    jobs.request_cancel(claim.job_id)
    assert attempts(session).succeed(claim.job_id, claim.attempt, {"steps": 10})
    assert (jobs.get(claim.job_id).state, jobs.get(claim.job_id).result) == ("SUCCEEDED", {"steps": 10})


def test_retry_starts_a_failed_job_with_all_attempts(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    attempts(session).fail(claim.job_id, claim.attempt, "nan_loss", "Loss is NaN.")
    job = jobs.retry(claim.job_id)
    assert (job.state, job.counted_attempts, job.error_kind, job.finished_at) == ("QUEUED", 0, None, None)
    assert make_claim(session, job).attempt == 2
    assert told(session, job.id) == ["QUEUED", "RUNNING", "FAILED", "QUEUED", "RUNNING"]


def test_retry_of_a_cancelled_job_forgets_the_cancel(session: Session, jobs: JobRepository) -> None:
    claim = make_claim(session)
    jobs.request_cancel(claim.job_id)
    attempts(session).cancelled(claim.job_id, claim.attempt)
    claim = make_claim(session, jobs.retry(claim.job_id))
    beat = attempts(session).heartbeat(claim.job_id, claim.attempt, 10)
    assert beat is not None
    assert not beat.cancel


def test_retry_of_other_states_is_a_conflict_with_the_true_state(session: Session, jobs: JobRepository) -> None:
    job = make_job(session)
    with pytest.raises(Conflict, match="QUEUED"):
        jobs.retry(job.id)
    claim = make_claim(session, job)
    jobs.request_cancel(job.id)
    with pytest.raises(Conflict, match="CANCELLING"):
        jobs.retry(job.id)
    attempts(session).succeed(job.id, claim.attempt, {})
    with pytest.raises(Conflict, match="SUCCEEDED"):
        jobs.retry(job.id)


def test_retry_without_its_data_set_is_a_conflict(session: Session, jobs: JobRepository) -> None:
    data = make_dataset(session)
    job = jobs.request_cancel(make_job(session, spec={"data": {"train": {"dataset": data.id}}}).id)
    DeletionRepository(session).dataset(data.id).apply()
    with pytest.raises(Conflict, match="data set"):
        jobs.retry(job.id)


def test_only_legal_moves_are_made(session: Session) -> None:
    for source, target in itertools.product(JobState, JobState):
        job = make_job(session)
        if (source, target) in TRANSITIONS:
            moved = transition(session, job.id, source, target)
            assert (moved is not None) == (source is JobState.QUEUED)  # the state that it is in
        else:
            with pytest.raises(ValueError, match="no legal transition"):
                transition(session, job.id, source, target)
