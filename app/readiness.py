"""Whether the service can work now: the database and its revision, the broker, and a worker for each waiting queue."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import Unavailable
from app.queue import Queue
from app.registry.db import Database, revision_state
from app.registry.workers import WorkerRepository

_REVISIONS = {
    "behind": "The database has not been migrated yet.",
    "ahead": "The database belongs to a newer release of the service. Start that one.",
    "empty": "The database has no tables yet.",
}
_MOST_QUEUES = 10
"""Queues that are named; a client chooses the names of queues."""


@dataclass(frozen=True)
class Readiness:
    """What works and what does not.

    Attributes:
        broker: whether it answers.
        queues_without_worker: queues with waiting jobs that no living worker serves, at most ten.
        problems: a sentence for each thing that does not work; empty when all does.
    """

    broker: bool
    queues_without_worker: tuple[str, ...]
    problems: tuple[str, ...]


def look(database: Database, queue: Queue) -> Readiness:
    """Asks database and broker; may wait for either some seconds.

    Raises:
        Unavailable: the database does not answer, is damaged or is of another revision; `detail` says which.
    """
    state = revision_state(database.engine)
    if state != "ok":
        raise Unavailable(_REVISIONS[state])
    database.check()
    with database.read() as session:
        unserved = WorkerRepository(session).queues_without_worker()
    broker = queue.ping()
    problems = [] if broker else ["The broker does not answer: jobs are taken, and start when it is back."]
    problems += [
        f"No living worker serves the queue {name}, where {_jobs(count)}: start one with QUEUES={name}."
        for name, count in list(unserved.items())[:_MOST_QUEUES]
    ]
    return Readiness(broker, tuple(unserved)[:_MOST_QUEUES], tuple(problems))


def _jobs(count: int) -> str:
    return "a job waits" if count == 1 else f"{count} jobs wait"
