"""A server's end of an HTTP/2 connection: reads frames, keeps the state of streams, and bounds what a client can make
it do or hold. A protocol that is spoken over it fills in what a request, its data and its end mean."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from typing import Any

from app.http2.connection_writer import ConnectionWriter
from app.http2.flood_limit import FloodLimit
from app.http2.header_blocks import MAX_HEADER_LIST_BYTES, MalformedRequest
from app.http2.http2_frames import (
    ACK,
    DEFAULT_TABLE,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    MOST_MAX_FRAME,
    MOST_WINDOW,
    PING,
    SETTINGS,
    SETTINGS_FRAME,
    SETTINGS_HEADER_LIST,
    SETTINGS_PUSH,
    SETTINGS_STREAMS,
    SETTINGS_TABLE,
    SETTINGS_WINDOW,
    ConnectionFault,
    ErrorCode,
    frame,
    goaway,
    read_settings,
    rst_stream,
    settings_frame,
    window_update,
)
from app.http2.http2_reader import MAX_FRAME, Http2Reader
from app.http2.send_queue import Outgoing, UnsentBytes

MAX_STREAMS = 256
_LINGERING = 2
"""Streams that a client ended and whose work has not stopped yet, in streams that may be open."""
_ENDED_EARLY = 256
_GIVEN_BACK = 10
_DRAIN = b"draining"


class Stream:
    """A request and its answer.

    Attributes:
        window: bytes that the client may still send on it.
        ended: the client has sent all.
        request: the protocol's own.
    """

    __slots__ = ("ended", "id", "out", "request", "window")

    def __init__(self, number: int, send_window: int) -> None:
        self.id = number
        self.window = DEFAULT_WINDOW
        self.ended = False
        self.out = Outgoing(number, send_window)
        self.request: Any = None


class ServerConnection(ConnectionWriter):
    """One client.

    Args:
        unsent: what all connections together could not send yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, unsent: UnsentBytes) -> None:
        super().__init__(loop, unsent)
        self.reader = Http2Reader(self)
        self.flood = FloodLimit()
        self.streams: dict[int, Stream] = {}
        self.last_stream = 0
        self._ended_early: deque[int] = deque(maxlen=_ENDED_EARLY)
        self._window = self._window_wanted = DEFAULT_WINDOW
        self._consumed = 0
        self.draining = False
        self._told_to_leave = False
        self._goes_on = False  # in the next turn

    # What a protocol fills in.

    @abstractmethod
    def read_head(self, block: bytes) -> Any:
        """What a header block says. Raises ConnectionFault and MalformedRequest."""

    @abstractmethod
    def on_request(self, stream: Stream, head: Any) -> None:
        """A stream was opened; `stream.ended` where no data follow."""

    @abstractmethod
    def on_data(self, stream: Stream, data: bytes) -> None:
        """Some of its data; `consume` has to be told of their bytes at some time."""

    @abstractmethod
    def on_end(self, stream: Stream) -> None:
        """All of its data came."""

    @abstractmethod
    def on_gone(self, stream: Stream) -> None:
        """The stream has ended, by its answer, by the client or with the connection."""

    @abstractmethod
    def lingering(self) -> int:
        """Requests whose streams have ended and that still run."""

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        limits = {SETTINGS_STREAMS: MAX_STREAMS, SETTINGS_FRAME: MAX_FRAME, SETTINGS_HEADER_LIST: MAX_HEADER_LIST_BYTES}
        self.write(settings_frame(limits))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._forget_streams()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        if self._goes_on:
            self.reader.hold(data)
            return
        try:
            self.reader.feed(data)
        except ConnectionFault as fault:
            self.end(fault.code, str(fault))
        if self.reader.has_more and not self.closed and self.transport is not None:
            self._goes_on = True
            self.transport.pause_reading()
            self._loop.call_soon(self._go_on)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    def _go_on(self) -> None:
        """With what did not fit into the turn before, unless its answers have no room."""
        if self._goes_on and not self.closed and not self.sending.paused and self.transport is not None:
            self._goes_on = False
            self.transport.resume_reading()
            self.data_received(b"")

    def eof_received(self) -> None:
        """The transport closes."""

    # For the protocol.

    def answer(self, stream: Stream, head: bytes, data: bytes, trailers: bytes) -> None:
        """A whole answer, of header blocks."""
        self.write_answer(stream.out, head, data, trailers)

    def answer_head(self, stream: Stream, head: bytes) -> None:
        """An answer that is its head alone."""
        self.write_head(stream.id, head, END_HEADERS | END_STREAM)
        self.sent_all(stream.id)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Ends a stream without an answer."""
        self.write(rst_stream(stream.id, code))
        self._ended_early.append(stream.id)
        self._forget(stream)

    def consume(self, size: int) -> None:
        """Bytes of data are not held any more: the client may send as many on the connection."""
        self._consumed += size
        if 2 * self._consumed >= self._window_wanted:
            self._window += self._consumed
            self.write(window_update(0, self._consumed))
            self._consumed = 0

    def grow_window(self, size: int) -> None:
        """Of the connection, for the client's data, to `size`."""
        more = size - self._window_wanted
        if more > 0:
            self._window_wanted = size
            self._window += more
            self.write(window_update(0, more))

    def grant(self, stream: Stream, size: int) -> None:
        """Lets the client send more on a stream."""
        if size > 0 and not stream.ended:
            stream.window += size
            self.write(window_update(stream.id, size))

    def drain(self) -> None:
        """Takes no new streams, and ends with those that run. What a client sends before it hears that is served."""
        if self.draining or self.closed:
            return
        self.draining = True
        self.write(goaway(MOST_WINDOW, ErrorCode.NO_ERROR))
        self.write(frame(PING, 0, 0, _DRAIN))

    def leave(self) -> None:
        """Second step of `drain`: streams that come now are not served, which a client may send again elsewhere."""
        if self.closed or self._told_to_leave:
            return
        self.draining = self._told_to_leave = True
        self.write(goaway(self.last_stream, ErrorCode.NO_ERROR))
        self._end_if_done()

    def end(self, code: ErrorCode, why: str = "") -> None:
        """Ends the connection at once."""
        if self.closed:
            return
        self.write(goaway(self.last_stream, code, why))
        self._forget_streams()
        self.close()

    # What the frames mean; called by the reader, which has checked their lengths.

    def data(self, number: int, flags: int, data: bytes, padding: int) -> None:
        size = len(data) + padding
        self._window -= size
        if self._window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA is over the connection's window.")
        if not data:
            self.flood.take()
        stream = self.streams.get(number)
        if stream is None or stream.ended:
            self._stray_data(number, size, stream)
            return
        stream.window -= size
        if stream.window < 0:
            self.consume(size)
            self.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return
        if padding:
            self.flood.take()
            self.consume(padding)
            self.grant(stream, padding)
        stream.ended = flags & END_STREAM != 0
        if data:
            self.on_data(stream, data)
        if stream.ended and number in self.streams:
            self.on_end(stream)

    def _stray_data(self, number: int, size: int, stream: Stream | None) -> None:
        self.consume(size)
        if number > self.last_stream or not number % 2:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA is of a stream that was not opened.")
        if stream is not None:
            self.reset(stream, ErrorCode.STREAM_CLOSED)
        elif number not in self._ended_early:
            self.flood.take()
            self.write(rst_stream(number, ErrorCode.STREAM_CLOSED))

    def block(self, number: int, ended: bool, block: bytes) -> None:
        """A whole header block."""
        stream = self.streams.get(number)
        if stream is None and number <= self.last_stream:
            if number not in self._ended_early:
                raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS is of a stream that has ended.")
            self._read_only(block)
        elif stream is not None:
            self._trailers(stream, ended, block)
        elif self._told_to_leave:
            self._read_only(block)
        else:
            self._open(number, ended, block)

    def _open(self, number: int, ended: bool, block: bytes) -> None:
        self.last_stream = number
        try:
            head = self.read_head(block)
        except MalformedRequest:
            self._refuse(number, ErrorCode.PROTOCOL_ERROR)
            return
        if len(self.streams) >= MAX_STREAMS:
            self._refuse(number, ErrorCode.REFUSED_STREAM)
            return
        if self.lingering() > _LINGERING * MAX_STREAMS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "There are too many requests that were given up.")
        stream = self.streams[number] = Stream(number, self.sending.initial_window)
        stream.ended = ended
        self.on_request(stream, head)
        if ended and number in self.streams:
            self.on_end(stream)

    def _refuse(self, number: int, code: ErrorCode) -> None:
        self.flood.take()
        self._ended_early.append(number)
        self.write(rst_stream(number, code))

    def _read_only(self, block: bytes) -> None:
        """For the table: blocks that follow refer to it."""
        self.flood.take()
        try:
            self.read_head(block)
        except MalformedRequest:
            pass

    def _trailers(self, stream: Stream, ended: bool, block: bytes) -> None:
        self._read_only(block)
        if stream.ended:
            self.reset(stream, ErrorCode.STREAM_CLOSED)
        elif not ended:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR)
        else:
            stream.ended = True
            self.on_end(stream)

    def stream_reset(self, number: int) -> None:
        self.flood.take()
        stream = self.streams.get(number)
        if stream is not None:
            self._forget(stream)
        elif number > self.last_stream or not number % 2:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM is of a stream that was not opened.")

    def window_grows(self, number: int, size: int) -> None:
        if self.sending.updates_due:
            self.sending.updates_due -= 1
        else:
            self.flood.take()
        stream = self.streams.get(number)
        if not number:
            if not size:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing.")
            self.sending.grow(size)
        elif stream is None:
            if number > self.last_stream or not number % 2:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE is of a stream that was not opened.")
        elif not size:
            self.reset(stream, ErrorCode.PROTOCOL_ERROR)
        elif stream.out.window + size > MOST_WINDOW:
            self.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
        else:
            stream.out.window += size
            self.sending.pump()

    def settings(self, payload: bytes) -> None:
        self.flood.take(1 + len(payload) // 60)
        for name, value in read_settings(payload):
            if name == SETTINGS_PUSH and value > 1:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1.")
            if name == SETTINGS_TABLE and value < DEFAULT_TABLE:
                self.use_no_table()
            elif name == SETTINGS_FRAME:
                if not 2**14 <= value <= MOST_MAX_FRAME:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of its range.")
                self.sending.max_frame = value
            elif name == SETTINGS_WINDOW:
                self._resize_windows(value)
        self.write(frame(SETTINGS, ACK, 0))

    def _resize_windows(self, size: int) -> None:
        change = size - self.sending.initial_window
        self.sending.initial_window = size
        for stream in self.streams.values():
            stream.out.window += change
            if stream.out.window > MOST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE makes a window too large.")
        if size > MOST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is out of its range.")
        self.sending.pump()

    def ping(self, flags: int, payload: bytes) -> None:
        self.flood.take()
        if not flags & ACK:
            self.write(frame(PING, ACK, 0, payload))
        elif self.draining and payload == _DRAIN:
            self.leave()

    # Ends of streams.

    def sent_all(self, number: int) -> None:
        stream = self.streams.get(number)
        if stream is None:
            return
        self.flood.give(_GIVEN_BACK)
        if not stream.ended:
            self.write(rst_stream(number, ErrorCode.NO_ERROR))
            self._ended_early.append(number)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.id]
        self.sending.drop(stream.out)
        self.on_gone(stream)
        if self._told_to_leave:
            self._end_if_done()

    def _forget_streams(self) -> None:
        self.sending.drop_all()
        streams, self.streams = self.streams, {}
        for stream in streams.values():
            self.on_gone(stream)

    def _end_if_done(self) -> None:
        if not self.streams and not self.closed:
            self.close()
