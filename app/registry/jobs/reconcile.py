"""Reconciler-side queries: waiting jobs whose message was lost, expired leases and waiting limits, old records."""

from __future__ import annotations

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.jobs.routes import route
from app.jobs.state import ErrorKind, JobState
from app.registry.db import now
from app.registry.jobs.attempts import AttemptRepository
from app.registry.jobs.gangs import GangRepository
from app.registry.jobs.outbox import WakeUp
from app.registry.jobs.transitions import transition
from app.registry.tables import Job


class ReconcileRepository:
    """Finds what no worker answers for any more, and ends it, in the caller's transaction.

    Args:
        retry_backoff_s: as for `AttemptRepository`, whose `lose` ends the attempts.
    """

    def __init__(self, session: Session, *, retry_backoff_s: float) -> None:
        self.session = session
        self._attempts = AttemptRepository(session, retry_backoff_s=retry_backoff_s)
        self.gangs = GangRepository(session, self._attempts)

    def unsent(self, older_than_s: float, limit: int = 32) -> list[WakeUp]:
        """Waiting jobs whose message seems lost: due, and not sent since `older_than_s` seconds (or ever).

        Only the first `limit` of each queue are looked at. That keeps the cost flat, and a busy worker with a long
        queue from getting all of its messages again and again; a job that comes to the head later is looked at then.
        """
        found: list[WakeUp] = []
        for queue in self.session.scalars(
            select(Job.queue).where(Job.state == JobState.QUEUED).distinct().order_by(Job.queue)
        ):
            head = (
                select(Job.id, Job.attempt, Job.devices, Job.seats, Job.priority, Job.sent_at, Job.created_at)
                .where(Job.state == JobState.QUEUED, Job.queue == queue, Job.not_before <= now())
                .order_by(Job.priority, Job.created_at, Job.id)
                .limit(limit)
                .subquery()
            )
            late = select(head).where(or_(head.c.sent_at.is_(None), head.c.sent_at < now() - older_than_s))
            late = late.order_by(head.c.priority, head.c.created_at, head.c.id)
            for row in self.session.execute(late):
                found += [WakeUp(row.id, row.attempt, route(queue, row.devices), row.priority)] * row.seats
        return found

    def mark_sent(self, job_id: str) -> None:
        """Notes that the broker has taken a message for the job just now."""
        self.session.execute(
            update(Job).where(Job.id == job_id, Job.state == JobState.QUEUED).values(sent_at=now()),
            execution_options={"synchronize_session": False},
        )

    def expire_leases(self, limit: int = 100) -> list[str]:
        """Ends the attempts whose lease is over, as lost, and says which jobs they were. Rows that somebody works on
        at this moment are left for the next time."""
        late = (
            select(Job.id, Job.attempt)
            .where(Job.state == JobState.RUNNING, Job.lease_expires_at < now())
            .order_by(Job.lease_expires_at, Job.id)
            .limit(limit)
            .with_for_update(skip_locked=True, key_share=True)
        )
        expired = []
        for job_id, attempt in self.session.execute(late).all():
            if self._attempts.lose(job_id, attempt, "Its worker did not extend the lease in time."):
                expired.append(job_id)
        return expired

    def expire_waiting(self, limit: int = 100) -> list[str]:
        """Fails the jobs that no worker took within their `wait_timeout_s`, and says which they were."""
        patience = Job.not_before + Job.wait_timeout_s
        late = select(Job.id, Job.wait_timeout_s).where(Job.state == JobState.QUEUED, patience < now())
        late = late.order_by(Job.not_before, Job.id).limit(limit)
        failed = []
        for job_id, limit_s in self.session.execute(late).all():
            detail = f"No worker took the job within its waiting limit of {limit_s:g} s."
            values = {"error_kind": ErrorKind.TIMEOUT, "error_detail": detail}
            event = {"error": {"kind": ErrorKind.TIMEOUT, "detail": detail}}
            over = patience < now()
            if transition(self.session, job_id, JobState.QUEUED, JobState.FAILED, over, values=values, event=event):
                failed.append(job_id)
        return failed
