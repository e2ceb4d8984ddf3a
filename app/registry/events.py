"""Events of jobs, in order."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.jobs.state import JobState
from app.registry.db import now
from app.registry.tables import Job, JobEvent

PROGRESS = "progress"
STATE = "state"
TRACEPARENT = "traceparent"
"""In the data of a job's first event, where its request was traced."""


def record(session: Session, job_id: str, kind: str, data: dict[str, Any]) -> int:
    """Adds an event in the caller's transaction, which must hold the job's row lock (an UPDATE of the row or
    `fence`): so the events of a job become visible in the order of their ids, and a watcher that remembers the last id
    misses none."""
    statement = insert(JobEvent).values(job_id=job_id, kind=kind, data=data, at=now()).returning(JobEvent.id)
    return session.execute(statement).scalar_one()


def record_submit(session: Session, job_id: str, traceparent: str | None) -> None:
    """Adds the first event of a job."""
    traced = {} if traceparent is None else {TRACEPARENT: traceparent}
    record(session, job_id, STATE, {"state": JobState.QUEUED, "attempt": 0, **traced})


def record_progress(session: Session, job_id: str, data: dict[str, Any]) -> None:
    """Adds a progress event and removes the one before: nobody needs old progress, and a night of heartbeats would
    leave a hundred thousand rows."""
    number = record(session, job_id, PROGRESS, data)
    session.execute(
        delete(JobEvent).where(JobEvent.job_id == job_id, JobEvent.kind == PROGRESS, JobEvent.id < number),
        execution_options={"synchronize_session": False},
    )


class EventRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, job_id: str, kind: str, data: dict[str, Any]) -> int:
        """Adds an event that is no worker's write (workers' events come with their fenced writes).

        Raises:
            NotFound: no such job.
        """
        locked = select(Job.id).where(Job.id == job_id).with_for_update(key_share=True)
        if self.session.scalar(locked) is None:
            raise NotFound("There is no job of that id.")
        return record(self.session, job_id, kind, data)

    def after(self, job_id: str, last_id: int = 0, *, limit: int = 500) -> list[JobEvent]:
        """Events of a job with an id above `last_id`, oldest first."""
        query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > last_id)
        return list(self.session.scalars(query.order_by(JobEvent.id).limit(limit)))

    def traceparent(self, job_id: str) -> str | None:
        """The trace that the job's request belongs to; None when it was not traced, or that is long ago."""
        first = select(JobEvent.data).where(JobEvent.job_id == job_id, JobEvent.kind == STATE)
        data = self.session.scalar(first.order_by(JobEvent.id).limit(1))
        return None if data is None else data.get(TRACEPARENT)

    def last_ids(self, job_ids: list[str]) -> dict[str, int]:
        """Job → the newest event's id, with one query; jobs without an event are left out."""
        newest = select(JobEvent.job_id, func.max(JobEvent.id)).where(JobEvent.job_id.in_(job_ids))
        rows = self.session.execute(newest.group_by(JobEvent.job_id))
        return {job_id: last for job_id, last in rows}  # noqa: C416  # rows are no pairs to a type checker

    def last_id(self, job_id: str) -> int:
        """The newest event's id; 0 when there is none."""
        return self.session.scalar(select(func.max(JobEvent.id)).where(JobEvent.job_id == job_id)) or 0
