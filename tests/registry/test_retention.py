from __future__ import annotations

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.registry import purge
from app.registry.audit import AuditRepository
from app.registry.db import now
from app.registry.events import EventRepository
from app.registry.idempotency import IdempotencyRepository
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from app.registry.purge import RetentionRepository
from app.registry.tables import AuditEntry, IdempotencyKey, Job
from tests.registry.conftest import make_claim, make_job
from tests.repositories import attempts


def ended_job(session: Session, seconds_ago: float) -> str:
    """A job that ended that long ago, with three points and four events."""
    claim = make_claim(session)
    MetricRepository(session).add_points(claim.job_id, 1, [("loss", step, 0.5) for step in range(3)])
    EventRepository(session).add(claim.job_id, "warning", {"detail": "x"})
    attempts(session).succeed(claim.job_id, 1, {})
    session.execute(update(Job).where(Job.id == claim.job_id).values(finished_at=now() - seconds_ago))
    return claim.job_id


def kinds(session: Session, job_id: str) -> list[str]:
    return [event.kind for event in EventRepository(session).after(job_id)]


def test_old_stored_responses_go_and_young_ones_stay(session: Session) -> None:
    keys = IdempotencyRepository(session)
    for key in ("old", "new"):
        keys.begin("tok", key, "d", ttl_s=60)
        keys.finish("tok", key, 200, {}, {"large": "response"})
    session.execute(update(IdempotencyKey).where(IdempotencyKey.key == "old").values(created_at=now() - 61))
    assert not RetentionRepository(session).purge_idempotency_keys(60)
    assert session.scalars(select(IdempotencyKey.key).order_by(IdempotencyKey.key)).all() == ["new"]


def test_old_audit_entries_go_a_bounded_number_at_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = AuditRepository(session)
    for number in range(5):
        audit.add(None, "test", str(number))
    session.execute(update(AuditEntry).where(AuditEntry.target != "4").values(at=now() - 100))
    monkeypatch.setattr(purge, "AT_ONCE", 3)
    purges = RetentionRepository(session)
    assert [purges.purge_audit(60), purges.purge_audit(60)] == [True, False]
    assert [row.target for row in audit.list()[0]] == ["4"]


def test_jobs_that_ended_long_ago_are_found_in_the_order_of_their_end(session: Session) -> None:
    first, second, late = (ended_job(session, seconds) for seconds in (300, 200, 10))
    make_job(session)  # waits
    make_claim(session)  # runs
    purges = RetentionRepository(session)
    found = purges.ended_jobs(100)
    assert [job_id for _, job_id in found] == [first, second]
    assert [job_id for _, job_id in purges.ended_jobs(100, after=found[0])] == [second]
    assert purges.ended_jobs(100, after=found[1]) == []
    assert late not in {job_id for _, job_id in found}


def test_events_of_a_job_go_but_the_one_that_tells_its_end(session: Session) -> None:
    job_id, other = ended_job(session, 100), ended_job(session, 100)
    assert kinds(session, job_id) == ["state", "state", "warning", "state"]
    RetentionRepository(session).purge_events([job_id])
    (last,) = EventRepository(session).after(job_id)
    assert (last.kind, last.data["state"]) == ("state", "SUCCEEDED")
    assert len(kinds(session, other)) == 4


def test_metric_points_of_a_job_go(session: Session) -> None:
    job_id, other = ended_job(session, 100), ended_job(session, 100)
    RetentionRepository(session).purge_metric_points([job_id])
    assert MetricRepository(session).names(job_id) == []
    assert len(MetricRepository(session).series(other, "loss")) == 3
    assert JobRepository(session).get(job_id).state == "SUCCEEDED"
    assert session.scalar(select(func.count()).select_from(Job)) == 2
