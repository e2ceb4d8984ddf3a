"""The one way to change a job's state: a conditional UPDATE, with its event in the same transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.jobs.state import TRANSITIONS, JobState, shown_state
from app.registry.db import now
from app.registry.events import record
from app.registry.jobs.outbox import enqueue
from app.registry.tables import Job


def fence(session: Session, job_id: str, attempt: int) -> Job | None:
    """The job, locked until the transaction ends, if `attempt` still owns it; None for a worker that was too late.

    All that a worker writes in the transaction after this is fenced: nobody can take the job away before the commit.
    """
    # A session is one transaction: what it has locked is still as it was then, but for what it changed itself.
    held: Job | None = session.info.get((fence, job_id, attempt))
    if held is not None and (held.attempt, held.state) == (attempt, JobState.RUNNING):
        return held
    query = select(Job).where(Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING)
    job = session.scalar(query.with_for_update(key_share=True), execution_options={"populate_existing": True})
    session.info[fence, job_id, attempt] = job
    return job


def find(session: Session, job_id: str, *, lock: bool = False) -> Job:
    """The job as it is now.

    Raises:
        NotFound: no such job.
    """
    query = select(Job).where(Job.id == job_id)
    if lock:
        query = query.with_for_update(key_share=True)
    job = session.scalar(query, execution_options={"populate_existing": True})
    if job is None:
        raise NotFound("There is no job of that id.")
    return job


def transition(
    session: Session,
    job_id: str,
    source: JobState,
    target: JobState,
    *conditions: ColumnElement[bool],
    values: dict[str, Any] | None = None,
    event: dict[str, Any] | None = None,
) -> Job | None:
    """Changes a job's state if it is in `source` and the conditions hold; else None, and nothing was done. Records the
    event, and enqueues a wake-up message when the job is QUEUED now."""
    if (source, target) not in TRANSITIONS:
        raise ValueError(f"{source} -> {target} is no legal transition")
    changes: dict[str, Any] = dict(values or {})
    changes["state"] = target
    if source is JobState.RUNNING:
        changes |= {"lease_expires_at": None, "worker": None, "drain_requested": False}
    if target is JobState.QUEUED:
        changes["sent_at"] = None
    elif target is not JobState.RUNNING:
        changes["finished_at"] = now()
    statement = update(Job).where(Job.id == job_id, Job.state == source, *conditions).values(**changes).returning(Job)
    options = {"synchronize_session": False, "populate_existing": True}
    job = session.scalars(statement, execution_options=options).one_or_none()
    if job is None:
        return None
    state = {"state": shown_state(target, job.cancel_requested), "attempt": job.attempt}
    record(session, job_id, "state", state | (event or {}))
    if target is JobState.QUEUED:
        enqueue(session, job)
    return job
