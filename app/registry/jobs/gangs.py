"""Seats of jobs that several workers run together.

A worker takes a seat of a waiting job and keeps it by a lease. When all seats are held, one transaction makes the next
attempt RUNNING; if that does not happen in time, the seats are given back and other jobs may form first for a while.
Only one job of a queue forms at a time, the first in its order: two jobs never hold half of the workers each.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, delete, exists, select, update
from sqlalchemy.orm import Session

from app.jobs.state import JobState
from app.registry.db import now, one_at_a_time
from app.registry.jobs.attempts import AttemptRepository, Claim, GangMember
from app.registry.jobs.transitions import fence
from app.registry.tables import Job, Seat

_UNSYNCHRONIZED = {"synchronize_session": False}
_KEEP_S = 60.0
"""Seats of attempts that are over are removed so long after their lease."""


@dataclass(frozen=True)
class SeatKey:
    """One seat of one attempt. `attempt` is the job's next attempt while the gang forms, its fencing token then."""

    job_id: str
    attempt: int
    number: int


class GangRepository:
    """In the caller's transaction.

    Args:
        attempts: starts and ends the attempts, in the same transaction.
    """

    def __init__(self, session: Session, attempts: AttemptRepository) -> None:
        self.session, self._attempts = session, attempts

    def take_seat(
        self,
        job_id: str,
        attempt_seen: int,
        worker: str,
        address: str,
        lease_s: float,
        *,
        devices: int = 1,
        queue_cap: int | None = None,
    ) -> SeatKey | None:
        """A free seat of a waiting job; None when there is none, it is not the job's turn, the worker has too few
        devices, or `queue_cap` jobs of its queue run already. The last seat makes the attempt RUNNING.

        Args:
            attempt_seen: the attempt counter in the message.
            address: `host:port` at which the other members reach this one.
        """
        job = self.session.get(Job, job_id)
        if job is None or job.devices > devices:
            return None
        one_at_a_time(self.session, f"gangs {job.queue}")
        self.session.refresh(job)
        if job.state != JobState.QUEUED or job.attempt != attempt_seen or self._first(job.queue) != job_id:
            return None
        if queue_cap is not None and self._attempts.at_cap(job_id, queue_cap):
            return None
        dead = delete(Seat).where(Seat.job_id == job_id, Seat.lease_expires_at < now())
        self.session.execute(dead, execution_options=_UNSYNCHRONIZED)
        held = self._numbers(job_id, attempt_seen + 1)
        number = next((one for one in range(job.seats) if one not in held), None)
        if number is None:
            return None
        key = SeatKey(job_id, attempt_seen + 1, number)
        lease = now() + lease_s
        seat = {"job_id": job_id, "attempt": key.attempt, "number": number, "worker": worker, "address": address}
        self.session.add(Seat(**seat, lease_expires_at=lease))
        self.session.flush()
        if len(held) + 1 == job.seats:
            self._start(job, lease_s)
        return key

    def keep_seat(self, key: SeatKey, lease_s: float) -> bool:
        """Extends a seat's lease. False: the seat is lost, or its attempt is over or will never be. A lease that ran
        out while the gang forms is not extended: another job may form since."""
        forming = (Job.state == JobState.QUEUED) & (Job.attempt == key.attempt - 1) & (Seat.lease_expires_at >= now())
        running = (Job.state == JobState.RUNNING) & (Job.attempt == key.attempt)
        stands = exists().where(Job.id == Seat.job_id, forming | running)
        kept = update(Seat).where(_is(key), stands).values(lease_expires_at=now() + lease_s).returning(Seat.number)
        return self.session.execute(kept, execution_options=_UNSYNCHRONIZED).one_or_none() is not None

    def member(self, key: SeatKey) -> Claim | None:
        """The right to take part in the attempt, once it runs; None while the gang forms."""
        job = fence(self.session, key.job_id, key.attempt)
        if job is None:
            return None
        seats = select(Seat.address).where(Seat.job_id == key.job_id, Seat.attempt == key.attempt)
        addresses = tuple(self.session.scalars(seats.order_by(Seat.number)))
        return self._attempts.running_claim(job, GangMember(addresses, key.number))

    def give_back(self, key: SeatKey, pause_s: float = 0.0) -> bool:
        """Gives the seat of a gang back that still forms. False: it has formed in the meantime.

        Args:
            pause_s: seconds for which other jobs may form first, because this one did not fill in time. All its seats
                are given back then: one that came later would hold its turn, and the workers would come and go for
                ever.
        """
        job = self.session.get(Job, key.job_id)
        if job is None:
            return True
        one_at_a_time(self.session, f"gangs {job.queue}")
        self.session.refresh(job)
        if job.state == JobState.RUNNING and job.attempt == key.attempt:
            return False
        self.leave(key)
        if pause_s and job.state == JobState.QUEUED:
            all_seats = delete(Seat).where(Seat.job_id == key.job_id, Seat.attempt == key.attempt)
            self.session.execute(all_seats, execution_options=_UNSYNCHRONIZED)
            self.session.execute(
                update(Job).where(Job.id == job.id).values(forming_after=now() + pause_s),
                execution_options=_UNSYNCHRONIZED,
            )
        if not self._numbers(key.job_id, key.attempt):
            self._wake_next(job.queue)
        return True

    def request_drain(self, key: SeatKey) -> None:
        """Asks the whole attempt to checkpoint and go back to the queue, because this member's worker stops."""
        running = (Job.id == key.job_id) & (Job.attempt == key.attempt) & (Job.state == JobState.RUNNING)
        asked = update(Job).where(running).values(drain_requested=True)
        self.session.execute(asked, execution_options=_UNSYNCHRONIZED)

    def leave(self, key: SeatKey) -> None:
        """Gives the seat back of a member that has nothing more to do."""
        self.session.execute(delete(Seat).where(_is(key)), execution_options=_UNSYNCHRONIZED)

    def expire(self, limit: int = 100) -> list[str]:
        """Ends the attempts of which a seat's lease is over, as lost, and says which jobs they were. The chief answers
        for the job's own lease."""
        late = (
            select(Job.id, Job.attempt, Seat.number, Seat.worker)
            .join(Seat, (Seat.job_id == Job.id) & (Seat.attempt == Job.attempt))
            .where(Job.state == JobState.RUNNING, Seat.number > 0, Seat.lease_expires_at < now())
            .order_by(Job.id, Seat.number)
            .limit(limit)
        )
        lost: list[str] = []
        for job_id, attempt, number, worker in self.session.execute(late).all():
            reason = f"Worker {number} of the job ({worker}) did not extend its lease in time."
            if job_id not in lost and self._attempts.lose(job_id, attempt, reason):
                lost.append(job_id)
        return lost

    def purge(self) -> None:
        """Removes seats of attempts that are over: the chief of one that runs has the job's lease, not its seat's."""
        runs = exists().where(Job.id == Seat.job_id, Job.attempt == Seat.attempt, Job.state == JobState.RUNNING)
        gone = delete(Seat).where(Seat.lease_expires_at < now() - _KEEP_S, ~runs)
        self.session.execute(gone, execution_options=_UNSYNCHRONIZED)

    def _first(self, queue: str) -> str | None:
        """The job of the queue that may form: the one that holds seats already, else the first in order."""
        next_attempt = (Seat.job_id == Job.id) & (Seat.attempt == Job.attempt + 1)
        forming = _waiting(queue).join(Seat, next_attempt).where(Seat.lease_expires_at >= now())
        return self.session.scalar(forming) or self.session.scalar(_waiting(queue).where(Job.forming_after <= now()))

    def _numbers(self, job_id: str, attempt: int) -> set[int]:
        return set(self.session.scalars(select(Seat.number).where(Seat.job_id == job_id, Seat.attempt == attempt)))

    def _start(self, job: Job, lease_s: float) -> None:
        """Makes the attempt RUNNING: the chief's worker answers for it."""
        chief = SeatKey(job.id, job.attempt + 1, 0)
        worker = self.session.scalars(select(Seat.worker).where(_is(chief))).one()
        self._attempts.claim(job.id, job.attempt, worker, lease_s)
        self._wake_next(job.queue)

    def _wake_next(self, queue: str) -> None:
        """Has the messages of the next gang sent again: those that came before its turn did nothing."""
        following = self._first(queue)
        again = update(Job).where(Job.id == following, Job.state == JobState.QUEUED).values(sent_at=None)
        self.session.execute(again, execution_options=_UNSYNCHRONIZED)


def _is(key: SeatKey) -> ColumnElement[bool]:
    return (Seat.job_id == key.job_id) & (Seat.attempt == key.attempt) & (Seat.number == key.number)


def _waiting(queue: str) -> Select[str]:
    """The first waiting gang of a queue."""
    waiting = select(Job.id).where(Job.state == JobState.QUEUED, Job.queue == queue, Job.seats > 1)
    return waiting.where(Job.not_before <= now()).order_by(Job.priority, Job.created_at, Job.id).limit(1)
