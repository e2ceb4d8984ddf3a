"""The writing half of an HTTP/2 connection: written once a turn of the event loop, within the client's windows."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import cast

from app.http2.header_blocks import EMPTY_TABLE
from app.http2.http2_frames import DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, frame
from app.http2.send_queue import Outgoing, SendQueue, UnsentBytes


class ConnectionWriter(asyncio.Protocol):
    """The writing half of a connection.

    Args:
        unsent: what all connections together could not send yet.

    Attributes:
        closed: it ends, or has ended: nothing more is read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, unsent: UnsentBytes) -> None:
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._block_prefix = b""
        self.sending = SendQueue(self.write, self.sent_all, unsent)
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def pause_writing(self) -> None:
        """Nothing is read meanwhile: what it would make us send has no room."""
        self.sending.paused = True
        if self.transport is not None and not self.closed:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.sending.paused = False
        if self.transport is not None and not self.closed:
            self.transport.resume_reading()
            self.sending.pump()

    @abstractmethod
    def sent_all(self, number: int) -> None:
        """The last frame of a stream's answer was written."""

    def write_answer(self, out: Outgoing, head: bytes, data: bytes, trailers: bytes) -> None:
        """A whole answer, of header blocks and DATA."""
        number, size = out.stream, len(data)
        if self.sending.fits(out, size):
            head = self._prefixed(head)
            first = HEAD.pack(0, len(head), HEADERS, END_HEADERS, number)
            second = HEAD.pack(size >> 16, size & 0xFFFF, DATA, 0, number)
            third = HEAD.pack(0, len(trailers), HEADERS, END_HEADERS | END_STREAM, number)
            self.write(b"".join((first, head, second, data, third, trailers)))
            self.sent_all(number)
            return
        self.write_head(number, head)
        self.sending.add(out, data, trailers)

    def write_head(self, number: int, head: bytes, flags: int = END_HEADERS) -> None:
        """The header block that an answer begins with."""
        self.write(frame(HEADERS, flags, number, self._prefixed(head)))

    def use_no_table(self) -> None:
        """The client wants a smaller table than the default. Ours is empty anyway, which the next block says."""
        self._block_prefix = EMPTY_TABLE

    def write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(data)

    def flush(self) -> None:
        out, self._out = self._out, []
        if out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(out))

    def close(self) -> None:
        """Once all is out that was written."""
        self.closed = True
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def _prefixed(self, head: bytes) -> bytes:
        if self._block_prefix:
            head, self._block_prefix = self._block_prefix + head, b""
        return head
