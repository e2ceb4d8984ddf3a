"""One client of the gRPC port: its HTTP/2 streams are calls.

A call whose token is known and whose message came whole goes to the batcher together with all others that one turn of
the event loop brought, and the answers of a batch go out in one write.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

from app.errors import InvalidInput, ServiceError
from app.http.send_times import SendTimes
from app.http2.header_blocks import HeaderBlocks
from app.http2.http2_frames import ErrorCode
from app.http2.server_connection import ServerConnection, Stream
from app.protocols.grpc_wire import (
    HEAD,
    CallHead,
    inflate,
    ok_trailers,
    plain_http,
    read_head,
    trailers_only,
    write_message,
)
from app.protocols.port_state import PortState
from app.protocols.rpc_methods import Answer, Status
from app.protocols.streaming_call import StreamingCall
from app.protocols.unary_call import UnaryCall

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
IDLE_S = 300.0
"""A connection without a call is closed after so long: clients keep theirs open between calls."""
_UNUSED_S = 60.0
_PROBE_S = 2.0
_LEAVE_S = 1.0
"""What a client gets to hear that the port drains, before streams that it opens are not served."""
_TRUSTED_WINDOW = 4 * 2**20
"""Bytes that a client with a good token may send ahead; another one has what HTTP/2 gives it, 64 KiB."""
_MOST_STREAMING = 16
_TOO_LATE = Answer(Status.DEADLINE_EXCEEDED, detail="The caller's deadline is over.")
_TOO_SLOW = Answer(Status.DEADLINE_EXCEEDED, detail="The message did not come in time.")
_GOES = Answer(Status.UNAVAILABLE, detail="The server stops. Ask again.")
_NO_METHOD = Answer(Status.UNIMPLEMENTED, detail="There is no such method.")
_NO_ROOM = Answer(Status.UNAVAILABLE, detail="All connections of the service are taken. Try again.")


class GrpcConnection(ServerConnection):
    """One client's connection.

    Args:
        address: the client is counted under it.
        probe: taken over the cap of connections; only a health check is answered, once.
    """

    def __init__(self, port: PortState, loop: asyncio.AbstractEventLoop, address: str, *, probe: bool) -> None:
        super().__init__(loop, port.unsent)
        self.address, self.probe = address, probe
        self.waits_since = time.monotonic()
        self.port = port
        self._limits = port.table.limits
        self._blocks = HeaderBlocks(read_head, self.reader.decoded)
        self._streamed = 0  # bytes of streaming calls in this turn
        self._called_since = math.inf
        self._trusted = False
        self._calls = 0  # unary ones that are open
        self._running = 0  # tasks of calls, also of those that were given up
        self._reads_since = self._drains_since = math.inf
        self._send_times = SendTimes(self._limits)

    # What `ServerConnection` asks for.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self.end(ErrorCode.PROTOCOL_ERROR, "TLS was not set up for h2.")
        elif self not in self.port.table:  # it had to make room meanwhile
            self.abort()
        elif self.port.draining:
            self.drain()

    def connection_lost(self, exc: Exception | None) -> None:
        self.port.table.remove(self)
        super().connection_lost(exc)

    def read_head(self, block: bytes) -> CallHead:
        return self._blocks.read(block)

    def lingering(self) -> int:
        return self._running - self._calls

    def on_request(self, stream: Stream, head: CallHead) -> None:
        methods = self.port.methods
        method, streaming = methods.find(head.path), self.port.streaming.get(head.path)
        if head.http_status:
            self.answer_head(stream, plain_http(head.http_status))
        elif self.probe and head.path != HEALTH_CHECK:
            self.answer_head(stream, trailers_only(_NO_ROOM))
        elif method is None and streaming is None:
            self.answer_head(stream, trailers_only(_NO_METHOD))
        elif head.refusal is not None:
            self.answer_head(stream, trailers_only(head.refusal))
        elif self.port.is_full:
            self.reset(stream, ErrorCode.REFUSED_STREAM)
        elif method is not None:
            self._begin(stream, UnaryCall(self.port, head, method, methods.remembered(method, head.token)))
        elif streaming is not None:
            if sum(isinstance(other.request, StreamingCall) for other in self.streams.values()) >= _MOST_STREAMING:
                self.reset(stream, ErrorCode.REFUSED_STREAM)
                return
            unsent = partial(self._unsent, stream)
            stream.request = call = StreamingCall(streaming(), partial(self._send, stream), unsent, self.flood.take)
            call.begin()

    def on_data(self, stream: Stream, data: bytes) -> None:
        call = stream.request
        if isinstance(call, UnaryCall):
            try:
                if self._trusted:
                    self.consume(len(data))
                else:
                    call.unconsumed += len(data)
                call.add(data, last=stream.ended)
                self._make_room(stream, call)
            except ServiceError as error:
                self._fail(stream, call, error)
        else:
            self.consume(len(data))
            self.grant(stream, len(data))
            call.take(data)

    def on_end(self, stream: Stream) -> None:
        call = stream.request
        if not isinstance(call, UnaryCall):
            call.ended()
            return
        if call.token is None:
            return  # `_admit` comes back to it
        try:
            message = call.message()
        except InvalidInput as error:
            self._fail(stream, call, error)
            return
        call.task = self._start(self._answer(stream, call, message))

    def on_gone(self, stream: Stream) -> None:
        call, stream.request = stream.request, None
        if isinstance(call, UnaryCall):
            self._calls -= 1
            if not self._calls:
                self.waits_since = time.monotonic()
            self._consume_held(call)
            call.end()
        elif call is not None:
            call.gone()
        if self.probe:
            self.leave()

    # Calls.

    def _begin(self, stream: Stream, call: UnaryCall) -> None:
        stream.request = call
        if not self._calls:
            self._called_since = self.waits_since
        self._calls += 1
        self.waits_since = math.inf
        if call.token is None:
            call.admission = self._start(self._admit(stream, call))
        elif call.method.scope is not None and not self._trusted:
            self._trust()

    async def _admit(self, stream: Stream, call: UnaryCall) -> None:
        """While the token is asked for, data wait within the windows of a client that is not known."""
        try:
            token = await self.port.methods.admit(call.method, call.head.authorization)
        except Exception as error:
            call.admission = None
            self._fail(stream, call, error)
            return
        call.admission = None
        if stream.request is not call:
            return
        call.token = token
        self._trust()
        if stream.ended:
            self.on_end(stream)
            return
        try:
            self._make_room(stream, call)
        except ServiceError as error:
            self._fail(stream, call, error)

    def _trust(self) -> None:
        """The client has a token: its data need not wait until earlier ones are of no use any more."""
        self._trusted = True
        self.grow_window(_TRUSTED_WINDOW)
        for stream in self.streams.values():
            if isinstance(stream.request, UnaryCall):
                self._consume_held(stream.request)

    def _consume_held(self, call: UnaryCall) -> None:
        if call.unconsumed:
            size, call.unconsumed = call.unconsumed, 0
            self.consume(size)

    def _make_room(self, stream: Stream, call: UnaryCall) -> None:
        """Lets the client send the whole message. Raises Overloaded, Unavailable."""
        missing = call.missing - stream.window
        if missing > 0 and not stream.ended and call.token is not None:
            call.reserve()
            self.grant(stream, missing)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that is counted until it has ended: one that is cancelled before it began runs no line of its own."""
        self._running += 1
        task = self._loop.create_task(work)
        task.add_done_callback(self._has_run)
        return task

    def _has_run(self, task: asyncio.Task[None]) -> None:
        self._running -= 1

    async def _answer(self, stream: Stream, call: UnaryCall, message: bytes) -> None:
        head, port = call.head, self.port
        if call.compressed:
            try:
                message = await asyncio.to_thread(inflate, message, head.encoding, port.max_message_bytes)
            except ServiceError as error:
                call.task = None
                self._fail(stream, call, error)
                return
        call.release()
        assert call.token is not None
        answer = await port.methods.answer(head.path, call.token, message, head.headers, call.started, call.deadline)
        call.task = None
        self._finish(stream, call, answer)

    def _fail(self, stream: Stream, call: UnaryCall, error: Exception) -> None:
        self._finish(stream, call, self.port.methods.refused(call.head.path, error, call.started))

    def _finish(self, stream: Stream, call: UnaryCall, answer: Answer) -> None:
        if stream.request is not call or call.answered:
            return
        call.answered = True
        if answer.status is Status.OK:
            self.answer(stream, HEAD, write_message(answer.message), ok_trailers(answer.predictions))
        else:
            self.answer_head(stream, trailers_only(answer))

    def _send(self, stream: Stream, head: bytes | None, data: bytes, trailers: bytes | None) -> None:
        if head is not None:
            self.write_head(stream.id, head)
        self.sending.add(stream.out, data, trailers)
        self._streamed += len(data)

    def _unsent(self, stream: Stream) -> int:
        """Bytes of a streaming call's answers that the client has not taken, as far as we know."""
        waiting = 0 if self.transport is None else self.transport.get_write_buffer_size()
        return stream.out.size + self._streamed + waiting

    def flush(self) -> None:
        self._streamed = 0
        super().flush()

    # Times, as `ConnectionTable` asks once a second, and its ends.

    def check(self, now: float) -> None:
        """Ends the connection, or calls, that are over one of their times."""
        transport = self.transport
        if transport is None:
            return  # TLS is being set up, which has a time of its own
        if self._send_times.are_over(transport, now, self.sending.stalled_since()):
            transport.abort()
            return
        if transport.is_closing():
            return
        self._reads_since = min(self._reads_since, now) if self.reader.waits else math.inf
        if now - self._reads_since >= self._limits.head_s:
            self.end(ErrorCode.SETTINGS_TIMEOUT, "A frame did not come in time.")
            return
        self._check_calls()
        if self.draining:
            self._drains_since = min(self._drains_since, now)
            if now - self._drains_since >= _LEAVE_S:
                self.leave()
        elif not self.streams and now - self.waits_since >= self._patience():
            self.drain()

    def leave(self) -> None:
        """Calls without an end of their own get one."""
        super().leave()
        for stream in list(self.streams.values()):
            if isinstance(stream.request, StreamingCall):
                stream.request.end(_GOES)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def evictable_since(self) -> float:
        """As `TrackedConnection` says."""
        return self._called_since if self.waits_since == math.inf and not self._trusted else self.waits_since

    def _patience(self) -> float:
        if self.probe:
            return _PROBE_S
        return IDLE_S if self._trusted else _UNUSED_S

    def _check_calls(self) -> None:
        now = time.perf_counter()
        for stream in list(self.streams.values()):
            call = stream.request
            if not isinstance(call, UnaryCall) or call.answered:
                continue
            if now >= call.deadline:
                self._finish(stream, call, _TOO_LATE)
            elif call.is_late(now, self._limits.head_s):
                self._finish(stream, call, _TOO_SLOW)
