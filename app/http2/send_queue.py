"""Answers on their way out, as far as the client's windows allow (RFC 9113, 5.2)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from app.http2.http2_frames import (
    DATA,
    DEFAULT_MAX_FRAME,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MOST_WINDOW,
    ConnectionFault,
    ErrorCode,
    frame,
)


class Outgoing:
    """What one stream has to send.

    Attributes:
        pieces: DATA that waits.
        trailers: header block behind it; None: there is more to come.
        since: when some of it last went out (`time.monotonic`).
    """

    __slots__ = ("pieces", "queued", "since", "size", "stream", "trailers", "window")

    def __init__(self, stream: int, window: int) -> None:
        self.stream = stream
        self.window = window
        self.pieces: deque[memoryview] = deque()
        self.size = 0
        self.trailers: bytes | None = None
        self.queued = False
        self.since = 0.0


class UnsentBytes:
    """Bytes of all connections that wait for windows of their clients."""

    def __init__(self) -> None:
        self.bytes = 0


class SendQueue:
    """The streams of one connection that have something to send; they take turns, a frame each.

    Args:
        write: takes frames.
        ended: called with a stream whose last frame was written.
        unsent: counted in all connections together.

    Attributes:
        updates_due: WINDOW_UPDATEs that the frames which were sent may bring.
    """

    def __init__(self, write: Callable[[bytes], None], ended: Callable[[int], None], unsent: UnsentBytes) -> None:
        self.window = DEFAULT_WINDOW
        self.initial_window = DEFAULT_WINDOW
        self.max_frame = DEFAULT_MAX_FRAME
        self.paused = False
        self.updates_due = 0
        self._write, self._ended, self._all = write, ended, unsent
        self._turns: deque[Outgoing] = deque()
        self.unsent = 0

    def fits(self, outgoing: Outgoing, size: int) -> bool:
        """Whether so much may go out at once; it is taken off the windows then."""
        if self._turns or self.paused or size > self.window or size > outgoing.window or size > self.max_frame:
            return False
        self.window -= size
        outgoing.window -= size
        self.updates_due += 2
        return True

    def add(self, outgoing: Outgoing, data: bytes, trailers: bytes | None) -> None:
        """Sends DATA, and the trailers after it, as soon as the windows allow."""
        if not outgoing.size:
            outgoing.since = time.monotonic()
        if data:
            outgoing.pieces.append(memoryview(data))
        outgoing.size += len(data)
        outgoing.trailers = trailers
        self._count(len(data))
        if not outgoing.queued:
            outgoing.queued = True
            self._turns.append(outgoing)
        self.pump()

    def drop(self, outgoing: Outgoing) -> None:
        """The stream has ended."""
        self._count(-outgoing.size)
        outgoing.size = 0
        outgoing.pieces.clear()
        outgoing.trailers = None
        if outgoing.queued:
            outgoing.queued = False
            self._turns.remove(outgoing)

    def drop_all(self) -> None:
        """The connection has ended."""
        self._count(-self.unsent)
        self._turns.clear()

    def grow(self, size: int) -> None:
        """Of the connection's window. Raises ConnectionFault."""
        self.window += size
        if self.window > MOST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "The connection's window is too large.")
        self.pump()

    def pump(self) -> None:
        """Writes what may go out now."""
        blocked = 0
        while self._turns and blocked < len(self._turns) and not self.paused:
            outgoing = self._turns.popleft()
            if outgoing.size and (self.window <= 0 or outgoing.window <= 0):
                self._turns.append(outgoing)
                blocked += 1
                continue
            blocked = 0
            if outgoing.size:
                self._write(self._next_frame(outgoing))
            if outgoing.size:
                self._turns.append(outgoing)
                continue
            outgoing.queued = False
            if outgoing.trailers is not None:
                self._write(frame(HEADERS, END_HEADERS | END_STREAM, outgoing.stream, outgoing.trailers))
                outgoing.trailers = None
                self._ended(outgoing.stream)

    def stalled_since(self) -> float:
        """When the stream that waits longest last sent something; infinite where none waits."""
        return min((outgoing.since for outgoing in self._turns), default=float("inf"))

    def _next_frame(self, outgoing: Outgoing) -> bytes:
        piece = outgoing.pieces.popleft()
        size = min(len(piece), self.window, outgoing.window, self.max_frame)
        if size < len(piece):
            outgoing.pieces.appendleft(piece[size:])
        self.window -= size
        outgoing.window -= size
        outgoing.size -= size
        outgoing.since = time.monotonic()
        self.updates_due += 2
        self._count(-size)
        return frame(DATA, 0, outgoing.stream, bytes(piece[:size]))

    def _count(self, size: int) -> None:
        self.unsent += size
        self._all.bytes += size
