"""What tells a running attempt to stop, and what it tells of itself: shared by its hooks and its heartbeat thread."""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from typing import Any


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


class Control:
    """Thread-safe. A more urgent reason replaces a less urgent one; none is ever taken back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: Stop | None = None
        self._since: float | None = None
        self._progress: dict[str, Any] = {}
        self._points: dict[tuple[str, int], float] = {}

    def stop(self, reason: Stop) -> None:
        with self._lock:
            if self._reason is None or _URGENCY.index(reason) < _URGENCY.index(self._reason):
                self._reason = reason
            self._since = self._since or time.monotonic()

    @property
    def reason(self) -> Stop | None:
        return self._reason

    @property
    def stopping_for_s(self) -> float:
        """Seconds since the first reason to stop; 0 while there is none."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def tell(self, **progress: Any) -> None:
        """Adds to the progress that the next heartbeat carries."""
        with self._lock:
            self._progress |= progress

    @property
    def progress(self) -> dict[str, Any]:
        with self._lock:
            return dict(self._progress)

    def add_point(self, name: str, step: int, value: float) -> None:
        """A point of a metric series, kept until it is on record."""
        with self._lock:
            self._points[name, step] = value

    def points(self) -> list[tuple[str, int, float]]:
        """Points that are not on record yet."""
        with self._lock:
            return [(name, step, value) for (name, step), value in self._points.items()]

    def recorded(self, points: list[tuple[str, int, float]]) -> None:
        """Forgets points that are on record now, unless they changed meanwhile."""
        with self._lock:
            for name, step, value in points:
                if self._points.get((name, step)) is value:
                    del self._points[name, step]
