"""Policy of repeated requests, without input or output, for the synchronous and the asynchronous client."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The service did nothing and says that it is worth trying again.
_AGAIN = frozenset({429, 503})
#: A proxy in between lost the service; what happened there is not known.
_LOST = frozenset({502, 504})
_FIRST_WAIT_S = 0.25
_LONGEST_WAIT_S = 8.0


@dataclass
class Attempts:
    """The attempts at one request.

    Args:
        patience_s: seconds from the first attempt after which no further one is begun; 0: only one attempt.
        repeatable: whether the request may be carried out twice, because it changes nothing or carries a key by which
            the service knows it again.
    """

    patience_s: float
    repeatable: bool
    clock: Callable[[], float] = time.monotonic
    spread: Callable[[], float] = random.random
    _count: int = field(default=0, init=False)
    _begin: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._begin = self.clock()

    def wait_after(self, status: int | None, retry_after: str | None = None) -> float | None:
        """Seconds to wait before the next attempt, or None when there is none.

        Args:
            status: of the answer; None when the connection failed.
            retry_after: its header Retry-After: seconds, or a date.
        """
        if not (status in _AGAIN or (self.repeatable and (status is None or status in _LOST))):
            return None
        # half of each wait is random, so that clients that were refused together do not come back together
        wait: float = min(_FIRST_WAIT_S * 2**self._count, _LONGEST_WAIT_S) * (0.5 + self.spread() / 2)
        wait = max(wait, seconds_of(retry_after) or 0.0)
        self._count += 1
        if self.clock() - self._begin + wait > self.patience_s:
            return None
        return wait


def seconds_of(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After header asks to wait; None without one, or when it says neither seconds nor a date."""
    text = (retry_after or "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else None
