"""Requests to stop a running attempt, shared by its hooks and its heartbeat thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum


class Stop(StrEnum):
    """Why an attempt stops before its end, the most urgent first."""

    #: the attempt is over in the registry: nothing more may be written
    FENCED = "fenced"
    #: the registry did not answer until the lease was nearly over
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CANCEL = "cancel"
    DRAIN = "drain"


_URGENCY = list(Stop)


class StopSignal:
    """Thread-safe. A more urgent reason replaces a less urgent one; no request is ever withdrawn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: Stop | None = None
        self._since: float | None = None

    def request(self, reason: Stop) -> None:
        with self._lock:
            if self._reason is None or _URGENCY.index(reason) < _URGENCY.index(self._reason):
                self._reason = reason
            self._since = self._since or self._clock()

    @property
    def reason(self) -> Stop | None:
        return self._reason

    @property
    def pending_s(self) -> float:
        """Seconds since the first request; 0 while there is none."""
        return 0.0 if self._since is None else self._clock() - self._since
