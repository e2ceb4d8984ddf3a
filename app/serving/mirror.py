"""Copies of requests for a shadow: a version that is asked what the live one was asked, and answers nobody.

A copy waits until the live version has had nothing to do for a moment. Under a load that never pauses a few copies a
second are made all the same, so few that they do not show in the 99th percentile; the others are skipped, and counted.

Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from app.errors import ServiceError
from app.releases.compare import compare
from app.releases.counts import Counts
from app.serving.large_body import INLINE_UNTYPED_BYTES
from app.serving.version_queue import PredictionResult, VersionQueue

IDLE_S = 0.002
EVERY_S = 0.1
_BUSY_S = 0.02
"""After a look that found the live version at work the next one is so much later: looks cost its callers time too."""
_LONGEST = 64


class Shadowed(Protocol):
    """What a mirror needs of both versions."""

    queue: VersionQueue | None

    @property
    def loaded(self) -> bool: ...


class Mirror:
    """The copies for one shadow.

    Args:
        submit: `Batcher.submit`.
        counts: where copies, disagreements and times are counted now.
    """

    def __init__(
        self, live: Shadowed, shadow: Shadowed, submit: Callable[..., None], counts: Callable[[], Counts]
    ) -> None:
        self._live, self._shadow, self._submit, self._counts = live, shadow, submit, counts
        self._waiting: deque[tuple[str, bytes, bytes]] = deque()
        self._running = False
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, verb: str, body: bytes, answer: bytes) -> None:
        """Takes a request that was answered well."""
        if not self._shadow.loaded or len(body) > INLINE_UNTYPED_BYTES or len(self._waiting) >= _LONGEST:
            self._counts().skipped += 1
            return
        self._waiting.append((verb, body, answer))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()

    def _look(self) -> None:
        now = time.perf_counter()
        live = self._live.queue
        busy = live is not None and (not live.idle or now - live.last_used < IDLE_S)
        if not self._running and (not busy or now - self._last >= EVERY_S):
            self._last = now
            self._copy(*self._waiting.popleft())
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_BUSY_S if busy else IDLE_S, self._look) if self._waiting else None

    def _copy(self, verb: str, body: bytes, answer: bytes) -> None:
        queue, started = self._shadow.queue, time.perf_counter()
        if queue is None or queue.key is None:
            self._counts().skipped += 1
            return
        reply: asyncio.Future[PredictionResult] = asyncio.get_running_loop().create_future()
        try:
            request = queue.decoder.decode(verb, body)
            if not request.count:
                return
            self._submit(queue, request, len(body), reply)
        except ServiceError:
            self._failed()
            return
        self._running = True
        reply.add_done_callback(lambda done: self._answered(done, answer, started))

    def _answered(self, reply: asyncio.Future[PredictionResult], answer: bytes, started: float) -> None:
        self._running = False
        if reply.cancelled() or reply.exception() is not None:
            self._failed()
            return
        counts = self._counts()
        counts.add(time.perf_counter() - started)
        agrees, difference = compare(answer, reply.result().body)
        counts.mirrored += 1
        counts.disagreed += not agrees
        counts.difference = max(counts.difference, difference)

    def _failed(self) -> None:
        counts = self._counts()
        counts.requests += 1
        counts.errors += 1
