"""Requests that are to be kept, until they are written."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from random import Random

from app.releases.keep import KeepPolicy
from app.serving.asked import Answered


@dataclass(frozen=True)
class KeptRequest:
    """A request with its answer, in whatever form they came; `at` in seconds since 1970."""

    prediction_id: str
    model: str
    version: int
    answered: Answered
    redact: tuple[str, ...]
    at: float


class KeptBuffer:
    """Requests that wait to be written. What is too much is dropped, and counted.

    Args:
        most_rows: instances of all requests: each becomes a row in the registry. The first request is always taken.
        most_bytes: of all requests and answers.
    """

    draws = Random()

    def __init__(self, most_rows: int = 10_000, most_bytes: int = 64 * 2**20) -> None:
        self._most_rows, self._most_bytes = most_rows, most_bytes
        self._waiting: deque[KeptRequest] = deque()
        self._rows = self._bytes = 0
        self.dropped = 0

    def offer(self, keep: KeepPolicy, prediction_id: bytes, model: str, version: int, answered: Answered) -> None:
        """Takes a share of what is offered."""
        if self.draws.randrange(1000) >= keep.per_mille:
            return
        size = answered.size + len(answered.answer)
        many = bool(self._waiting) and self._rows + answered.rows > self._most_rows
        if many or self._bytes + size > self._most_bytes:
            self.dropped += 1
            return
        self._rows += answered.rows
        self._bytes += size
        self._waiting.append(KeptRequest(prediction_id.decode(), model, version, answered, keep.redact, time.time()))

    def take(self) -> list[KeptRequest]:
        taken, self._waiting, self._rows, self._bytes = list(self._waiting), deque(), 0, 0
        return taken

    def take_dropped(self) -> int:
        """How many were dropped since this was asked."""
        dropped, self.dropped = self.dropped, 0
        return dropped
