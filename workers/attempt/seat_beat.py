"""Heartbeat of a gang's member that is not the chief: extends its seat's lease, and passes on that its worker stops."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from app.config import Settings
from app.errors import Unavailable
from app.registry.db import Database
from app.registry.jobs.attempts import AttemptRepository
from app.registry.jobs.gangs import GangRepository, SeatKey

log = logging.getLogger(__name__)

OVER = 71
"""Exit code of a member whose attempt is over: it may hang in a sum that no other member takes part in any more."""


class SeatBeat(threading.Thread):
    """Beats until `stop` is called.

    Args:
        drain: whether the worker is to stop: the whole attempt then checkpoints and gives the job back.
        die: ends the process; tests replace it.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        key: SeatKey,
        *,
        drain: Callable[[], bool] = lambda: False,
        die: Callable[[int], object] = os._exit,
    ) -> None:
        super().__init__(name="seat", daemon=True)
        self._settings, self._database, self._key = settings, database, key
        self._drain, self._die = drain, die
        self._every_s = min(settings.heartbeat_s, settings.lease_s / 4)
        self._answered = time.monotonic()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._every_s):
            self.beat()

    def stop(self) -> None:
        """No further beats after this returns."""
        self._ended.set()
        if self.is_alive():
            self.join()

    def beat(self) -> None:
        """One beat."""
        sent = time.monotonic()
        try:
            with self._database.session() as session:
                attempts = AttemptRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
                gangs = GangRepository(session, attempts)
                stands = gangs.keep_seat(self._key, self._settings.lease_s)
                if stands and self._drain():
                    gangs.request_drain(self._key)
        except Unavailable:
            log.warning("The registry does not answer; training goes on.")
            stands = time.monotonic() - self._answered <= 0.7 * self._settings.lease_s
        else:
            self._answered = sent
        if not stands and not self._ended.is_set():
            log.warning("The attempt is over for this worker.")
            self._die(OVER)
