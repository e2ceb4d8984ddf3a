"""How many requests a token may send: a bucket that fills by the second."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.errors import Overloaded


class RateLimit:
    """Args:
    per_s: requests a second that refill the bucket; 0: no limit.
    burst: the bucket's size.
    """

    def __init__(self, per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._per_s = per_s
        self._burst = float(burst)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, who: str) -> None:
        """Counts one request; raises Overloaded with the time to wait when the bucket is empty."""
        if not self._per_s:
            return
        now = self._clock()
        level, filled = self._buckets.get(who, (self._burst, now))
        level = min(self._burst, level + (now - filled) * self._per_s)
        if level < 1:
            self._buckets[who] = (level, now)
            raise Overloaded(
                f"More than {self._per_s:g} requests a second with this token. Send fewer, or wait.",
                retry_after_s=(1 - level) / self._per_s,
            )
        self._buckets[who] = (level - 1, now)
