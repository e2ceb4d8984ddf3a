"""Messages to the broker that wait to be sent, written in the transaction of the change that causes them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from app.jobs.routes import route
from app.registry.db import now
from app.registry.tables import Job, Outbox


@dataclass(frozen=True)
class WakeUp:
    """A message that should be sent (again): the job waits, and its attempt counter stands at `attempt`."""

    job_id: str
    attempt: int
    queue: str
    priority: int


def enqueue(session: Session, job: Job) -> None:
    """Adds the wake-up messages of a job that was queued in this transaction: one for each worker that it needs."""
    message = {"job_id": job.id, "attempt": job.attempt, "queue": route(job.queue, job.devices)}
    message |= {"priority": job.priority}
    for _ in range(job.seats):
        session.execute(insert(Outbox).values(**message, created_at=now()))


class OutboxRepository:
    """To send: read `pending` (or `for_job`), give each to the queue, then `mark_sent`. A process that dies in
    between leaves the row, so a message can be sent twice; a worker drops the second."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def pending(self, limit: int = 100) -> list[Outbox]:
        """The oldest messages that are due: that of a job in back-off when its pause is over."""
        query = select(Outbox).join(Job, Job.id == Outbox.job_id).where(Job.not_before <= now())
        return list(self.session.scalars(query.order_by(Outbox.id).limit(limit)))

    def for_job(self, job_id: str) -> list[Outbox]:
        """The messages that wait for one job."""
        return list(self.session.scalars(select(Outbox).where(Outbox.job_id == job_id).order_by(Outbox.id)))

    def mark_sent(self, message: Outbox) -> None:
        """Removes a message that the broker took and notes the time at the job."""
        self.delete([message.id])
        self.session.execute(
            update(Job).where(Job.id == message.job_id, Job.attempt == message.attempt).values(sent_at=now()),
            execution_options={"synchronize_session": False},
        )

    def delete(self, ids: list[int]) -> None:
        self.session.execute(delete(Outbox).where(Outbox.id.in_(ids)), execution_options={"synchronize_session": False})
