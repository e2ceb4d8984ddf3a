"""Transport that uvicorn's cycle writes a response to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_JOINED_BYTES = 64 * 1024


class ResponseTransport:
    """What uvicorn's cycle writes a response to. The head goes out with the first piece of the body, when that follows
    at once: a packet less, and a client that reads once has all of a short response."""

    def __init__(self, transport: asyncio.Transport, soon: Callable[[Callable[[], None]], object]) -> None:
        self._transport, self._soon = transport, soon
        self._first: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._first is None:
            self._first = data
            self._soon(self.flush)
            return
        first, self._first = self._first, b""
        if first and len(data) <= _JOINED_BYTES:
            self._transport.write(first + data)
            return
        if first:
            self._transport.write(first)
        self._transport.write(data)

    def flush(self) -> None:
        if self._first:
            first, self._first = self._first, b""
            self._transport.write(first)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
