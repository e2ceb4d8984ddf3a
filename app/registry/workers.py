"""Workers as they report themselves, and queues whose jobs wait while no living worker serves them."""

from __future__ import annotations

import builtins
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.jobs.routes import route
from app.jobs.state import JobState
from app.registry.db import now, upsert
from app.registry.tables import Job, Seat, Worker

REPORT_S = 3.0
"""Seconds between two reports of a worker."""
ALIVE_S = 15.0
"""A worker that has not reported for so many seconds counts as dead."""
KEEP_S = 3600.0
"""A dead worker is listed for so many seconds, so that an operator can see what is missing."""

RAY = "ray:"
"""With it begins the name of the part that places jobs on Ray; it reports while Ray answers, as one worker."""


@dataclass(frozen=True)
class WorkerReport:
    """What a worker says of itself.

    Attributes:
        name: `host:pid` of its Celery main process, or of its seat on Ray; the same as in
            `jobs.worker` and `attempts.worker`.
        devices: `gpu:N` for the GPU that it holds, `cpu` for the CPU alone, `any` for whatever TensorFlow finds; empty
            while it waits for a GPU.
    """

    name: str
    queues: tuple[str, ...]
    slots: int
    devices: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class ListedWorker:
    """A worker of the registry.

    Attributes:
        job_ids: the jobs that it runs now.
        started_at, seen_at: seconds since 1970 by the database's clock.
    """

    report: WorkerReport
    alive: bool
    job_ids: tuple[str, ...]
    started_at: float
    seen_at: float


class WorkerRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def report(self, report: WorkerReport, *, started: bool = False) -> None:
        """Records a sign of life.

        Args:
            started: the first report of this process; another one may have had its name.
        """
        fresh = {
            "queues": list(report.queues),
            "slots": report.slots,
            "devices": list(report.devices),
            "version": report.version,
            "seen_at": now(),
        }
        statement = upsert(self.session, Worker).values(name=report.name, started_at=now(), **fresh)
        changes = fresh | ({"started_at": now()} if started else {})
        self.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changes))

    def leave(self, name: str) -> None:
        """Removes a worker that was stopped in order."""
        self.session.execute(delete(Worker).where(Worker.name == name), execution_options=_UNSYNCHRONIZED)

    def list(self) -> builtins.list[ListedWorker]:
        """All workers by name, those that died within the last `KEEP_S` seconds too."""
        running = select(Job.worker, Job.id).where(Job.state == JobState.RUNNING).order_by(Job.worker, Job.id)
        jobs: dict[str | None, builtins.list[str]] = {}
        members = select(Seat.worker, Job.id).join(Job, (Seat.job_id == Job.id) & (Seat.attempt == Job.attempt))
        members = members.where(Job.state == JobState.RUNNING, Seat.number > 0).order_by(Seat.worker, Job.id)
        for query in (running, members):
            for worker, job_id in self.session.execute(query):
                jobs.setdefault(worker, []).append(job_id)
        alive = Worker.seen_at >= now() - ALIVE_S
        return [
            ListedWorker(
                WorkerReport(row.name, tuple(row.queues), row.slots, tuple(row.devices), row.version),
                alive=is_alive,
                job_ids=tuple(jobs.get(row.name, ())),
                started_at=row.started_at,
                seen_at=row.seen_at,
            )
            for row, is_alive in self.session.execute(select(Worker, alive).order_by(Worker.name))
        ]

    def queues_without_worker(self) -> dict[str, int]:
        """Queue → number of waiting jobs, for queues that no living worker serves; jobs that need several devices per
        worker have a queue of their own (`app.queue.route`)."""
        waiting = (
            select(Job.queue, Job.devices, func.count())
            .where(Job.state == JobState.QUEUED, Job.not_before <= now())
            .group_by(Job.queue, Job.devices)
        )
        rows = self.session.execute(waiting)
        queued = dict(sorted((route(queue, devices), count) for queue, devices, count in rows))
        if not queued:
            return {}
        living = select(Worker.queues).where(Worker.seen_at >= now() - ALIVE_S)
        served = {queue for queues in self.session.scalars(living) for queue in queues}
        return {queue: count for queue, count in queued.items() if queue not in served}

    def ray_answers(self) -> bool:
        """Whether a part that places jobs on Ray has reached it lately."""
        alive = select(func.count()).where(Worker.name.startswith(RAY), Worker.seen_at >= now() - ALIVE_S)
        return bool(self.session.scalar(alive))

    def purge(self) -> int:
        """Removes workers that have been dead for `KEEP_S` seconds, and says how many."""
        gone = delete(Worker).where(Worker.seen_at < now() - KEEP_S).returning(Worker.name)
        return len(self.session.execute(gone, execution_options=_UNSYNCHRONIZED).all())


_UNSYNCHRONIZED = {"synchronize_session": False}
