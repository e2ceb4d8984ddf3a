"""Times of a client that reads nothing of what it is sent, or whose connection does not end."""

from __future__ import annotations

import asyncio
import math

from app.http.connections import ConnectionLimits


class SendTimes:
    """Of one connection; asked now and then, about once per second."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._unsent, self._unsent_since = 0, 0.0
        self._closing_since = math.inf

    def are_over(self, transport: asyncio.Transport, now: float, waits_since: float = math.inf) -> bool:
        """Whether the connection is to be aborted.

        Args:
            now: monotonic seconds.
            waits_since: since when something waits, before the transport, for the client to take it.
        """
        if transport.is_closing():
            self._closing_since = min(self._closing_since, now)
            return now - self._closing_since >= self._limits.flush_s
        unsent = transport.get_write_buffer_size()
        if not unsent >= self._unsent > 0:
            self._unsent_since = now
        self._unsent = unsent
        return now - min(self._unsent_since, waits_since) >= self._limits.stalled_s
