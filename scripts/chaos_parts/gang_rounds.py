"""The scheduling of jobs of several workers, in simulated time: the registry's own code, workers that are only counted.

A round is a handful of jobs of one to four seats, and four workers that take messages, wait for each other, run, and
are killed and come back. Time passes by moving all times in the registry back, so a round of minutes takes less than a
second. Each tick is checked; a round that does not end is a deadlock.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.jobs.spec import JobSpec
from app.jobs.state import JobState
from app.registry.db import Database, now
from app.registry.jobs.attempts import AttemptRepository
from app.registry.jobs.gangs import GangRepository, SeatKey
from app.registry.jobs.reconcile import ReconcileRepository
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Base, Job, Seat

SLOTS = 4
TICK_S, LEASE_S, GANG_TIMEOUT_S, RESEND_S = 1.0, 4.0, 10.0, 2.0
_PAUSE_S = 2 * GANG_TIMEOUT_S
_LATE_S = GANG_TIMEOUT_S + LEASE_S + 2 * TICK_S
"""No seat of a gang that forms is held for longer: its worker gives up in time, or is dead and its lease runs out."""
_LONGEST_S = 1800.0


class Violation(AssertionError):
    """What must never be, was."""


@dataclass
class SimulatedWorker:
    """One worker; it holds a seat or an attempt, or nothing. `until`: of its run, its wait or its death."""

    name: str
    state: str = "idle"  # idle waits runs dead
    key: SeatKey | None = None
    attempt: tuple[str, int] | None = None
    until: float = 0.0


@dataclass
class Round:
    """What became of a round."""

    jobs: int = 0
    kills: int = 0
    attempts: int = 0
    seconds: float = 0.0


@dataclass
class Rounds:
    """Plays rounds in an empty registry.

    Args:
        spec: of a training job for so many workers.
    """

    database: Database
    spec: Callable[[int], JobSpec]
    workers: list[SimulatedWorker] = field(default_factory=list)

    def play(self, seed: int) -> Round:
        """One round. Raises Violation."""
        self._draw, self._now, self._held_since = random.Random(seed), 0.0, dict[tuple[str, int, str], float]()
        self._messages: list[tuple[int, str, int]] = []
        self.workers = [SimulatedWorker(f"worker-{number}") for number in range(SLOTS)]
        self._kill_chance = self._draw.choice([0.0, 0.01, 0.03])
        done = Round(jobs=self._draw.randint(2, 4))
        with self.database.session() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete())
            for _ in range(done.jobs):
                self._submit(session)
        while True:
            with self.database.session() as session:
                self._tick(session, done)
                self._check(session)
                if session.scalar(select(func.count()).where(Job.state != JobState.SUCCEEDED)) == 0:
                    done.attempts = sum(session.scalars(select(Job.attempt)))
                    done.seconds = self._now
                    return done
            if self._now > _LONGEST_S:
                raise Violation(f"seed {seed}: jobs are not done after {_LONGEST_S:.0f} s")

    def _submit(self, session: Session) -> None:
        JobRepository(session).create(
            self.spec(self._draw.randint(1, SLOTS)),
            queue="default",
            priority=self._draw.choice([3, 5]),
            max_attempts=1000,
            timeout_s=None,
            created_by=None,
        )

    def _tick(self, session: Session, done: Round) -> None:
        self._now += TICK_S
        for column in (Job.lease_expires_at, Job.not_before, Job.forming_after, Job.sent_at, Seat.lease_expires_at):
            earlier = update(column.class_).values({column.key: column - TICK_S})
            session.execute(earlier, execution_options={"synchronize_session": False})
        session.expire_all()
        reconcile = ReconcileRepository(session, retry_backoff_s=0.5)
        reconcile.expire_leases()
        reconcile.gangs.expire()
        for wake_up in reconcile.unsent(RESEND_S):
            self._messages.append((wake_up.priority, wake_up.job_id, wake_up.attempt))
            reconcile.mark_sent(wake_up.job_id)
        self._messages.sort(key=lambda message: message[0])
        for worker in self._draw.sample(self.workers, len(self.workers)):
            if worker.state != "dead" and self._draw.random() < self._kill_chance:
                done.kills += 1
                worker.state, worker.until = "dead", self._now + self._draw.uniform(1, 8)
                worker.key = worker.attempt = None
            else:
                self._act(session, worker)

    def _act(self, session: Session, worker: SimulatedWorker) -> None:
        attempts = AttemptRepository(session, retry_backoff_s=0.5)
        gangs = GangRepository(session, attempts)
        if worker.state == "dead" and self._now >= worker.until:
            worker.state = "idle"
        if worker.state == "idle":
            while worker.state == "idle" and self._messages:  # one that is old takes no time
                self._take(session, worker, attempts, gangs)
        elif worker.state == "waits":
            self._wait(worker, gangs)
        elif worker.state == "runs":
            self._run(worker, attempts, gangs)

    def _take(
        self, session: Session, worker: SimulatedWorker, attempts: AttemptRepository, gangs: GangRepository
    ) -> None:
        _, job_id, attempt = self._messages.pop(0)
        if JobRepository(session).get(job_id).seats == 1:
            if attempts.claim(job_id, attempt, worker.name, LEASE_S):
                worker.attempt = (job_id, attempt + 1)
                self._begin(worker)
            return
        worker.key = gangs.take_seat(job_id, attempt, worker.name, f"{worker.name}:1", LEASE_S)
        if worker.key is not None:
            worker.state, worker.until = "waits", self._now + GANG_TIMEOUT_S

    def _begin(self, worker: SimulatedWorker) -> None:
        worker.state, worker.until = "runs", self._now + self._draw.uniform(1, 8)

    def _wait(self, worker: SimulatedWorker, gangs: GangRepository) -> None:
        """As `workers.worker.gang.HeldSeat.wait_for_others` does."""
        assert worker.key is not None
        if not gangs.keep_seat(worker.key, LEASE_S):
            worker.state, worker.key = "idle", None
        elif gangs.member(worker.key) is not None:
            if worker.key.number == 0:
                worker.attempt = (worker.key.job_id, worker.key.attempt)
            self._begin(worker)
        elif self._now > worker.until and gangs.give_back(worker.key, _PAUSE_S):
            worker.state, worker.key = "idle", None

    def _run(self, worker: SimulatedWorker, attempts: AttemptRepository, gangs: GangRepository) -> None:
        if worker.attempt is None:  # a member: as long as the attempt stands
            assert worker.key is not None
            if gangs.keep_seat(worker.key, LEASE_S):
                return
        elif attempts.heartbeat(*worker.attempt, LEASE_S) is not None:
            if self._now < worker.until:
                return
            if not attempts.succeed(*worker.attempt, {}):
                raise Violation(f"an attempt that has its lease could not succeed: {worker.attempt}")
        if worker.key is not None:
            gangs.leave(worker.key)
        worker.state, worker.key, worker.attempt = "idle", None, None

    def _check(self, session: Session) -> None:
        forming = select(Seat.job_id, Seat.number, Seat.worker).join(Job, Job.id == Seat.job_id)
        forming = forming.where(Job.state == JobState.QUEUED, Seat.attempt == Job.attempt + 1)
        rows = session.execute(forming.where(Seat.lease_expires_at >= now()))
        held = {(job_id, number, worker) for job_id, number, worker in rows}
        if len(jobs := {job_id for job_id, _, _ in held}) > 1:
            raise Violation(f"{len(jobs)} jobs form at once")
        self._held_since = {seat: self._held_since.get(seat, self._now) for seat in held}
        for seat, since in self._held_since.items():
            if self._now - since > _LATE_S:
                raise Violation(f"{seat} of a job that forms is held for {self._now - since:.1f} s")
