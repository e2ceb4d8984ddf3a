"""Detection of predictor processes that leak memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from app.serving.predictor_process import PredictorProcess

log = structlog.get_logger("app.serving")


class LeakCheck:
    """Ends a predictor whose private memory exceeds twice the size of its versions by more than a limit.

    Args:
        limit_bytes: memory that the versions need not explain.
        every_s: interval between two looks, seconds.
        clock: monotonic time, seconds.
    """

    def __init__(self, limit_bytes: int, *, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_bytes = limit_bytes
        self._every_s = every_s
        self._clock = clock
        self._due = clock()

    def check(self, predictor: PredictorProcess | None, versions_bytes: int) -> None:
        """Kills the predictor if it leaks; looks only when the interval is over."""
        now = self._clock()
        if predictor is None or now < self._due:
            return
        self._due = now + self._every_s
        held = predictor.memory_bytes()
        if held > self.limit_bytes + 2 * versions_bytes:
            log.warning("predictor leaks", pid=predictor.pid, bytes=held)
            predictor.kill()
