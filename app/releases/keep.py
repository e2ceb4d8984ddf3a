"""The share of a model's requests that is kept, and how one looks when it is."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple, Self


@dataclass(frozen=True)
class KeepPolicy:
    """What is kept of a model's requests.

    Attributes:
        per_mille: of 1,000 requests so many.
        days: for so long.
        bytes: in files of so many bytes at most; the oldest go first.
        redact: names of features whose values are not kept.
    """

    per_mille: int
    days: float
    bytes: int
    redact: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """As it stands in the registry."""
        return cls(**{**row, "redact": tuple(row["redact"])})


class KeptRequest(NamedTuple):
    """A request and its answer, as they were sent; `at` in seconds since 1970."""

    prediction_id: str
    model: str
    version: int
    verb: str
    body: bytes
    answer: bytes
    redact: tuple[str, ...]
    at: float


class KeptBuffer:
    """Requests that wait to be written. What is too much is dropped, and counted.

    Args:
        most: requests.
        most_bytes: of all bodies and answers.
    """

    draws = Random()

    def __init__(self, most: int = 10_000, most_bytes: int = 64 * 2**20) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[KeptRequest] = deque()
        self._bytes = 0
        self.dropped = 0

    def offer(
        self, keep: KeepPolicy, prediction_id: bytes, model: str, version: int, verb: str, body: bytes, answer: bytes
    ) -> None:
        """Takes a share of what is offered."""
        if self.draws.randrange(1000) >= keep.per_mille:
            return
        size = len(body) + len(answer)
        if len(self._waiting) >= self._most or self._bytes + size > self._most_bytes:
            self.dropped += 1
            return
        self._bytes += size
        self._waiting.append(
            KeptRequest(prediction_id.decode(), model, version, verb, bytes(body), answer, keep.redact, time.time())
        )

    def take(self) -> list[KeptRequest]:
        taken, self._waiting, self._bytes = list(self._waiting), deque(), 0
        return taken
