"""Stand-ins for what a test must control: the clock, a predictor, a database that is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import Unavailable
from app.queue import MemoryQueue
from app.serving.protocol import RunBatch

__all__ = ["FakePredictor", "ManualClock", "MemoryQueue", "SilentDatabase"]


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


class FakePredictor:
    """A predictor that keeps its batches and computes nothing.

    Attributes:
        runs: batches in the order in which they came; a test takes one and answers it.
        killed: it was ended as one that hangs.
        quiet: seconds for which it says that it has computed nothing.
    """

    def __init__(self) -> None:
        self.runs: list[RunBatch] = []
        self.killed = False
        self.quiet = 0.0

    def run(self, run: RunBatch) -> None:
        self.runs.append(run)

    def kill(self) -> None:
        self.killed = True

    def quiet_s(self, since: float) -> float:
        return self.quiet
