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

from app.errors import ServiceError
from app.releases.counts import Counts
from app.serving.asked import Answered, AskedVersion
from app.serving.version_queue import PredictionResult

IDLE_S = 0.002
EVERY_S = 0.1
_BUSY_S = 0.02
"""After a look that found the live version at work the next one is so much later: looks cost its callers time too."""
_LONGEST = 64


class Mirror:
    """The copies for one shadow.

    Args:
        submit: `Batcher.submit`.
        counts: where copies, disagreements and times are counted now.
    """

    def __init__(
        self, live: AskedVersion, shadow: AskedVersion, submit: Callable[..., None], counts: Callable[[], Counts]
    ) -> None:
        self._live, self._shadow, self._submit, self._counts = live, shadow, submit, counts
        self._waiting: deque[Answered] = deque()
        self._copying: asyncio.Task[None] | None = None
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, answered: Answered) -> None:
        """Takes a request that was answered well."""
        too_large = answered.size > answered.asked.most_copied
        if too_large or not self._shadow.loaded or len(self._waiting) >= _LONGEST:
            self._counts().skipped += 1
            return
        self._waiting.append(answered)
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
        loop = asyncio.get_running_loop()
        if (self._copying is None or self._copying.done()) and (not busy or now - self._last >= EVERY_S):
            self._last = now
            self._copying = loop.create_task(self._copy(self._waiting.popleft()), name="copy for a shadow")
        self._timer = loop.call_later(_BUSY_S if busy else IDLE_S, self._look) if self._waiting else None

    async def _copy(self, answered: Answered) -> None:
        queue, started = self._shadow.queue, time.perf_counter()
        if queue is None or queue.key is None:
            self._counts().skipped += 1
            return
        try:
            request = await answered.decode_for(self._shadow)
            if not request.count:
                return
            reply: asyncio.Future[PredictionResult] = asyncio.get_running_loop().create_future()
            self._submit(queue, request, answered.size, reply)
            result = await reply
        except ServiceError:
            counts = self._counts()
            counts.requests += 1
            counts.errors += 1
            return
        counts = self._counts()
        counts.add(time.perf_counter() - started)
        agrees, difference = answered.compare(result.body)
        counts.mirrored += 1
        counts.disagreed += not agrees
        counts.difference = max(counts.difference, difference)
