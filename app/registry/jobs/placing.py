"""Jobs as a scheduler of its own (Ray) has to know them: those that wait, in order, and whether one still needs its
place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.jobs.state import JobState
from app.registry.db import now
from app.registry.tables import Job


@dataclass(frozen=True)
class WaitingJob:
    """A job that needs a place.

    Attributes:
        attempt: the job's attempt counter while it waits.
        seats: its workers; `devices`: of each.
        running: it has been claimed.
    """

    id: str
    attempt: int
    queue: str
    seats: int
    devices: int
    running: bool = False


class PlacingRepository:
    """In the caller's transaction; it only reads."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def waiting(self, queues: Sequence[str] = (), limit: int = 256) -> list[WaitingJob]:
        """The first jobs that may start now, in order. Those of several workers that let others form first are not
        among them.

        Args:
            queues: of these only; empty: of all.
        """
        due = select(Job).where(Job.state == JobState.QUEUED, Job.not_before <= now(), Job.forming_after <= now())
        if queues:
            due = due.where(Job.queue.in_(queues))
        jobs = self.session.scalars(due.order_by(Job.priority, Job.created_at, Job.id).limit(limit))
        return [_waiting(job, job.attempt) for job in jobs]

    def needs(self, job_id: str, attempt: int) -> WaitingJob | None:
        """The job, while it waits for the attempt after `attempt` or runs it; None when its place is of no use."""
        job = self.session.get(Job, job_id)
        if job is None:
            return None
        if job.state == JobState.QUEUED and job.attempt == attempt:
            return _waiting(job, attempt)
        if job.state == JobState.RUNNING and job.attempt == attempt + 1:
            return _waiting(job, attempt, running=True)
        return None

    def queues_that_wait(self) -> list[str]:
        """Queues with waiting jobs."""
        return list(self.session.scalars(select(Job.queue).where(Job.state == JobState.QUEUED).distinct()))


def _waiting(job: Job, attempt: int, *, running: bool = False) -> WaitingJob:
    return WaitingJob(job.id, attempt, job.queue, job.seats, job.devices, running)
