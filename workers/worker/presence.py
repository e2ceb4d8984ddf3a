"""A worker's signs of life: in the registry, for people and `/readyz`.

The pool child reports, for it knows the devices and has a database connection of its own; it does so only while the
main process shows a pulse. So a worker of which either process hangs counts as dead.
"""

from __future__ import annotations

import mmap
import socket
import struct
import threading
from collections.abc import Callable

import structlog

from app.errors import ServiceError
from app.process import start_pulse
from app.registry.db import Database, revision_state
from app.registry.workers import REPORT_S, WorkerReport, WorkerRepository

log = structlog.get_logger("worker")

_COUNT = struct.Struct("Q")


class MainPulse:
    """A count that the main process raises every second, in memory that it shares with its pool child. Make it before
    the child is forked."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _COUNT.size)

    def beat(self) -> None:
        _COUNT.pack_into(self._shared, 0, self.read() + 1)

    def read(self) -> int:
        return int(_COUNT.unpack_from(self._shared)[0])

    def start(self) -> None:
        """Beats in a thread for as long as this process lives, for the child and for the supervisor."""
        start_pulse(self.beat)


class Presence(threading.Thread):
    """Reports the worker again and again, in the pool child.

    Args:
        describe: what the worker says of itself now.
        pulse: gives another number each time while the main process lives.
    """

    def __init__(
        self,
        database: Database,
        describe: Callable[[], WorkerReport],
        pulse: Callable[[], int],
        *,
        every_s: float = REPORT_S,
    ) -> None:
        super().__init__(name="presence", daemon=True)
        self._database, self._describe, self._pulse, self._every_s = database, describe, pulse, every_s
        self._seen: int | None = None
        self._reported = False
        self._stopped = threading.Event()

    def run(self) -> None:
        while True:
            self.report()
            if self._stopped.wait(self._every_s):
                return

    def report(self) -> bool:
        """One report, if the main process has shown a pulse since the last one. An outage is waited for."""
        seen, self._seen = self._seen, self._pulse()
        if seen == self._seen:
            return False
        try:
            if revision_state(self._database.engine) != "ok":
                return False
            with self._database.session() as session:
                WorkerRepository(session).report(self._describe(), started=not self._reported)
        except ServiceError:
            return False
        except Exception:
            log.exception("the worker could not be reported")
            return False
        self._reported = True
        return True

    def leave(self) -> None:
        """Ends the reports and takes the worker off the list: it is being stopped in order."""
        self._stopped.set()
        try:
            with self._database.session() as session:
                WorkerRepository(session).leave(self._describe().name)
        except Exception:
            log.warning("the worker could not be taken off the list; it counts as dead soon")


def worker_name(main_pid: int) -> str:
    """How a worker is called in the registry."""
    return f"{socket.gethostname()}:{main_pid}"
