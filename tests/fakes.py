"""Stand-ins for what a test must control: the clock, a database that is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import Unavailable
from app.queue import MemoryQueue

__all__ = ["ManualClock", "MemoryQueue", "SilentDatabase"]


class ManualClock:
    """A clock that stands still until it is advanced. Call it for the time in seconds."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class SilentDatabase:
    """A database that does not answer."""

    @contextmanager
    def session(self) -> Iterator[Any]:
        raise Unavailable("no answer")
        yield

    read = session
