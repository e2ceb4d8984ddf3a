from __future__ import annotations

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.ids import new_id
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import now
from app.registry.evaluations import EvaluationRepository
from app.registry.events import EventRepository
from app.registry.jobs.attempts import Claim
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Checkpoint
from tests.registry.conftest import make_claim, make_export, make_job
from tests.repositories import attempts


@pytest.fixture
def checkpoints(session: Session) -> CheckpointRepository:
    return CheckpointRepository(session)


@pytest.fixture
def claim(session: Session) -> Claim:
    return make_claim(session)


def save(session: Session, claim: Claim, *steps: int) -> list[Checkpoint]:
    rows = [
        CheckpointRepository(session).add(
            claim.job_id, claim.attempt, step, f"jobs/{claim.job_id}/{claim.attempt}/model.ckpt-{step}", 10
        )
        for step in steps
    ]
    return [row for row in rows if row is not None]


def steps(rows: list[Checkpoint]) -> list[int]:
    return [row.step for row in rows]


def test_add_commits_and_tells(session: Session, checkpoints: CheckpointRepository, claim: Claim) -> None:
    [row] = save(session, claim, 500)
    assert checkpoints.get(row.id) is row
    assert checkpoints.at_step(claim.job_id, 500) is row
    event = EventRepository(session).after(claim.job_id)[-1]
    assert (event.kind, event.data["step"], event.data["id"]) == ("checkpoint", 500, row.id)


def test_latest_is_the_highest_step(session: Session, checkpoints: CheckpointRepository, claim: Claim) -> None:
    assert checkpoints.latest(claim.job_id) is None
    save(session, claim, 100, 900, 500)
    latest = checkpoints.latest(claim.job_id)
    assert latest is not None
    assert latest.step == 900
    assert steps(checkpoints.list(claim.job_id)) == [100, 500, 900]


def test_same_step_again_keeps_the_first(session: Session, checkpoints: CheckpointRepository, claim: Claim) -> None:
    [first] = save(session, claim, 500)
    attempts(session).lose(claim.job_id, claim.attempt, "gone")
    again = make_claim(session, JobRepository(session).get(claim.job_id))
    assert save(session, again, 500) == [first]
    assert first.attempt == 1


def test_unknown_checkpoints_are_not_found(checkpoints: CheckpointRepository, claim: Claim) -> None:
    with pytest.raises(NotFound):
        checkpoints.get(new_id("ckpt"))
    with pytest.raises(NotFound, match="step 7"):
        checkpoints.at_step(claim.job_id, 7)


def test_surplus_leaves_the_latest(session: Session, checkpoints: CheckpointRepository, claim: Claim) -> None:
    save(session, claim, 1, 2, 3, 4)
    assert steps(checkpoints.surplus(claim.job_id, 2)) == [1, 2]
    assert steps(checkpoints.surplus(claim.job_id, 0)) == [1, 2, 3]  # the latest always stays
    assert checkpoints.surplus(claim.job_id, 9) == []


def test_removed_checkpoints_are_gone(session: Session, checkpoints: CheckpointRepository, claim: Claim) -> None:
    save(session, claim, 1, 2, 3)
    checkpoints.remove([row.id for row in checkpoints.surplus(claim.job_id, 1)])
    assert steps(checkpoints.list(claim.job_id)) == [3]
    checkpoints.remove([])


def test_surplus_leaves_the_best(session: Session, checkpoints: CheckpointRepository, claim: Claim) -> None:
    save(session, claim, 1, 2, 3, 4)
    assert steps(checkpoints.surplus(claim.job_id, 1, best_steps=[2])) == [1, 3]


def test_surplus_leaves_one_for_each_period(session: Session, checkpoints: CheckpointRepository, claim: Claim) -> None:
    # made 10 s apart; one for each 25 s: step 0 (0 s), step 3 (30 s), step 6 (60 s)
    for row in save(session, claim, *range(8)):
        session.execute(update(Checkpoint).where(Checkpoint.id == row.id).values(created_at=1000.0 + 10 * row.step))
        session.refresh(row)
    assert steps(checkpoints.surplus(claim.job_id, 1, every_s=25)) == [1, 2, 4, 5]


def test_surplus_leaves_what_an_export_is_made_of(
    session: Session, checkpoints: CheckpointRepository, claim: Claim
) -> None:
    save(session, claim, 1, 2, 3)
    make_export(session, train_job_id=claim.job_id, step=2)
    assert steps(checkpoints.surplus(claim.job_id, 1)) == [1]


def test_surplus_leaves_what_another_job_measured(
    session: Session, checkpoints: CheckpointRepository, claim: Claim
) -> None:
    save(session, claim, 1, 2, 3)
    other = make_claim(session, make_job(session, type="evaluate"))
    evaluations = EvaluationRepository(session)
    evaluations.add(claim.job_id, claim.attempt, train_job_id=claim.job_id, step=1, metrics={})  # its own: on the way
    evaluations.add(other.job_id, other.attempt, train_job_id=claim.job_id, step=2, metrics={})
    assert steps(checkpoints.surplus(claim.job_id, 1)) == [1]


def test_surplus_leaves_what_a_waiting_job_names(
    session: Session, checkpoints: CheckpointRepository, claim: Claim
) -> None:
    rows = save(session, claim, 1, 2, 3)
    job = make_job(session, type="evaluate", spec={"source": {"checkpoint": rows[0].id}})
    assert steps(checkpoints.surplus(claim.job_id, 1)) == [2]
    whole = make_job(session, spec={"warm_start_from": {"job": claim.job_id}})
    assert checkpoints.surplus(claim.job_id, 1) == []
    JobRepository(session).request_cancel(job.id)
    JobRepository(session).request_cancel(whole.id)
    assert steps(checkpoints.surplus(claim.job_id, 1)) == [1, 2]


def test_checkpoint_times_are_the_databases(session: Session, claim: Claim) -> None:
    [row] = save(session, claim, 1)
    assert abs(row.created_at - (session.scalar(now().select()) or 0)) < 5
