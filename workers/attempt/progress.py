"""Progress and metric points of a running attempt until a heartbeat records them."""

from __future__ import annotations

import threading
from typing import Any

Point = tuple[str, int, float]
"""Series, step, value."""


class ProgressBuffer:
    """Thread-safe: the training loop writes, the heartbeat thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        self._points: dict[tuple[str, int], float] = {}

    def update(self, **values: Any) -> None:
        """Adds to the progress that the next heartbeat carries."""
        with self._lock:
            self._values |= values

    @property
    def values(self) -> dict[str, Any]:
        with self._lock:
            return dict(self._values)

    def add_point(self, name: str, step: int, value: float) -> None:
        """Adds a point of a metric series; it is kept until it is recorded."""
        with self._lock:
            self._points[name, step] = value

    def points(self) -> list[Point]:
        """Points that are not recorded yet."""
        with self._lock:
            return [(name, step, value) for (name, step), value in self._points.items()]

    def mark_recorded(self, points: list[Point]) -> None:
        """Forgets points that are recorded now, unless they changed in the meantime."""
        with self._lock:
            for name, step, value in points:
                if self._points.get((name, step)) is value:
                    del self._points[name, step]
