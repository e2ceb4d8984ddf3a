"""Whether the service can work now: the database and its revision, the broker, and a worker for each waiting queue."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from app.errors import ServiceError, Unavailable
from app.queue import Queue
from app.registry.commit_watch import CommitWatcher
from app.registry.db import Database, revision_state
from app.registry.workers import WorkerRepository
from app.storage import Storage

log = structlog.get_logger("app.readiness")

_REVISIONS = {
    "behind": "The database has not been migrated yet.",
    "ahead": "The database belongs to a newer release of the service. Start that one.",
    "empty": "The database has no tables yet.",
}
_NO_RAY = (
    "Ray does not answer, or `python -m workers.on_ray` does not run: jobs are taken, and start when both are back."
)
_ALL_S = 5.0
"""So often the database is asked although nothing was committed: workers die, and jobs fall due, without a commit."""
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


@dataclass(frozen=True)
class _Found:
    """Number of waiting jobs per queue without a worker, and whether jobs are placed on Ray."""

    unserved: dict[str, int]
    ray: bool


def _look_at_database(database: Database) -> _Found:
    """May wait some seconds.

    Raises:
        Unavailable: the database does not answer, is damaged or is of another revision; `detail` says which.
    """
    state = revision_state(database.engine)
    if state != "ok":
        raise Unavailable(_REVISIONS[state])
    database.check()
    with database.read() as session:
        workers = WorkerRepository(session)
        return _Found(dict(workers.queues_without_worker()), workers.ray_answers())


def _look_at_store(storage: Storage) -> str:
    """What is wrong with it; empty when it answers."""
    try:
        storage.check()
    except ServiceError as error:
        return f"{error.detail} Models that are loaded serve on; uploads, jobs and other models wait for it."
    return ""


class _DatabaseLook:
    """`_look_at_database` where it may find something new: it costs a millisecond of whichever prediction comes in
    meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commits = CommitWatcher(database.engine)
        self._found: _Found | None = None
        self._seen: tuple[int, int] | None = None
        self._looked = -math.inf

    def __call__(self) -> _Found:
        """Raises as `_look_at_database` does."""
        seen, now = self._commits.version(), time.monotonic()
        if self._found is None or seen is None or seen != self._seen or now - self._looked >= _ALL_S:
            self._found = None  # one that fails is done again at once
            self._found = _look_at_database(self._database)
            self._seen, self._looked = seen, now
        return self._found

    def close(self) -> None:
        self._commits.close()


def _readiness(found: _Found, broker: bool, store: str = "", *, on_ray: bool = False) -> Readiness:
    unserved, problems = found.unserved, [store] if store else []
    problems += [] if broker else ["The broker does not answer: jobs are taken, and start when it is back."]
    problems += [_NO_RAY] if on_ray and not found.ray else []
    remedy = "Ray needs a node with as many devices, or start a worker" if on_ray else "start one"
    problems += [
        f"No living worker serves the queue {name}, where {_jobs(count)}: {remedy} with QUEUES={name}."
        for name, count in list(unserved.items())[:_MOST_QUEUES]
    ]
    return Readiness(broker, tuple(unserved)[:_MOST_QUEUES], tuple(problems))


def _jobs(count: int) -> str:
    return "a job waits" if count == 1 else f"{count} jobs wait"


class ReadinessMonitor:
    """What database, broker and artifact store answer, asked again and again by threads, so that asking the monitor
    costs nothing.

    Args:
        every_s: pause between two looks; the artifact store is asked every `store_every_s`.
        on_ray: whether Ray runs jobs; then it is told when nothing places them there.
        silent_s: a database or broker that has not answered a look for so long counts as down.
    """

    def __init__(
        self,
        database: Database,
        queue: Queue,
        storage: Storage | None = None,
        *,
        on_ray: bool = False,
        every_s: float = 0.5,
        store_every_s: float = 10.0,
        silent_s: float = 3.0,
    ) -> None:
        self._on_ray = on_ray
        look = _DatabaseLook(database)
        self._database = _Watch("database", look, every_s, silent_s, look.close)
        self._broker = _Watch("broker", queue.ping, every_s, silent_s)
        self._store: _Watch | None = None
        if storage is not None and storage.remote:
            self._store = _Watch("store", lambda: _look_at_store(storage), store_every_s, math.inf)

    def start(self) -> None:
        self._database.start()
        self._broker.start()
        if self._store is not None:
            self._store.start()

    def stop(self) -> None:
        """Does not wait for a look that hangs."""
        self._database.stop()
        self._broker.stop()
        if self._store is not None:
            self._store.stop()

    def current(self) -> Readiness:
        """What was found last.

        Raises:
            Unavailable: the database does not answer, is damaged or is of another revision; `detail` says which.
        """
        found, silent = self._database.last()
        if silent:
            raise Unavailable("The database does not answer.")
        if isinstance(found, Unavailable):
            raise Unavailable(found.detail)
        broker, silent = self._broker.last()
        if found is None or (broker is None and not silent):
            raise Unavailable("The service starts.")
        store = self._store.last()[0] if self._store is not None else None
        return _readiness(found, broker is not False and not silent, str(store or ""), on_ray=self._on_ray)


class _Watch:
    """One look, repeated in a thread, which closes it when it ends."""

    def __init__(
        self,
        name: str,
        look: Callable[[], Any],
        every_s: float,
        silent_s: float,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._look = look
        self._close = close
        self._every_s = every_s
        self._silent_s = silent_s
        self._found: Any = None
        self._began: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"readiness-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def last(self) -> tuple[Any, bool]:
        """What the last look found (None: there was none), and whether one is under way for too long."""
        began = self._began
        return self._found, began is not None and time.monotonic() - began > self._silent_s

    def _run(self) -> None:
        while True:
            self._began = time.monotonic()
            try:
                self._found = self._look()
            except Unavailable as error:
                self._found = error
            except Exception as error:
                self._found = Unavailable("The database cannot be read. The operator finds why in the log.")
                log.error("readiness", exc_info=error)
            self._began = None
            if self._ended.wait(self._every_s):
                self._close()
                return
