"""Removal of old records: responses stored for repeated requests, events, metric points, audit entries."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.jobs.state import ENDED
from app.registry.db import now
from app.registry.tables import AuditEntry, IdempotencyKey, Job, JobEvent, MetricPoint

AT_ONCE = 1000
"""Rows of one transaction, so that other writers get their turn in between."""
_JOBS_AT_ONCE = 50
_UNSYNCHRONIZED = {"synchronize_session": False}


class RetentionRepository:
    """The first two methods remove at most `AT_ONCE` rows and say whether more may be left: commit, then call again."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def purge_idempotency_keys(self, older_than_s: float) -> bool:
        """Stored responses of that age: their requests may not be repeated any more."""
        is_old = IdempotencyKey.created_at < now() - older_than_s
        key = (IdempotencyKey.token_id, IdempotencyKey.key)
        query = select(*key).where(is_old).order_by(IdempotencyKey.created_at, *key).limit(AT_ONCE)
        rows = self.session.execute(query).all()
        for token_id, name in rows:
            # It may have been used again meanwhile.
            same = delete(IdempotencyKey).where(IdempotencyKey.token_id == token_id, IdempotencyKey.key == name, is_old)
            self.session.execute(same, execution_options=_UNSYNCHRONIZED)
        return len(rows) == AT_ONCE

    def purge_audit(self, older_than_s: float) -> bool:
        """Audit entries of that age."""
        is_old = AuditEntry.at < now() - older_than_s
        query = select(AuditEntry.id).where(is_old).order_by(AuditEntry.at, AuditEntry.id).limit(AT_ONCE)
        ids = list(self.session.scalars(query))
        if ids:
            self.session.execute(delete(AuditEntry).where(AuditEntry.id.in_(ids)), execution_options=_UNSYNCHRONIZED)
        return len(ids) == AT_ONCE

    def ended_jobs(self, older_than_s: float, after: tuple[float, str] = (0.0, "")) -> list[tuple[float, str]]:
        """Some of the jobs that ended that long ago: when they did, and their ids; those after `after`, in order."""
        finished, job_id = after
        later = (Job.finished_at > finished) | ((Job.finished_at == finished) & (Job.id > job_id))
        query = (
            select(Job.finished_at, Job.id)
            .where(Job.state.in_(sorted(ENDED)), Job.finished_at < now() - older_than_s, later)
            .order_by(Job.finished_at, Job.id)
            .limit(_JOBS_AT_ONCE)
        )
        return [(at, found) for at, found in self.session.execute(query) if at is not None]

    def purge_events(self, job_ids: list[str]) -> None:
        """All events of ended jobs but the last, from which late watchers learn how the job ended."""
        for job_id in job_ids:
            last = select(func.max(JobEvent.id)).where(JobEvent.job_id == job_id).scalar_subquery()
            old = delete(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id < last)
            self.session.execute(old, execution_options=_UNSYNCHRONIZED)

    def purge_metric_points(self, job_ids: list[str]) -> None:
        """All metric points of ended jobs."""
        points = delete(MetricPoint).where(MetricPoint.job_id.in_(job_ids))
        self.session.execute(points, execution_options=_UNSYNCHRONIZED)
