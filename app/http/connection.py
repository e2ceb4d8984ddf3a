"""One client's connection: uvicorn's protocol with bounded request heads, bounded times and a fast path.

What is used of uvicorn's private attributes is listed in `tests/http/test_uvicorn.py`; its version is pinned.
"""

from __future__ import annotations

import math
import time
from typing import Any, Protocol

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http.connections import ConnectionTable
from app.http.partial_request import PartialRequest
from app.http.problems import plain_problem, response_bytes
from app.http.response_transport import ResponseTransport
from app.http.send_times import SendTimes

log = structlog.get_logger("app.http")

MAX_REQUEST_LINE_BYTES = 8 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
_SLICE = 4096
"""Bytes that the parser is given at once: a bound on the requests that one read can queue."""
_OVERHEAD_BYTES, _OVERHEAD_PER_BYTE = 64 * 1024, 16
"""What framing (chunk sizes, extensions, trailers) may add to a body."""
_LINGER_S, _LINGER_BYTES = 1.0, 2**20
_PROBE_S = 2.0
_PREDICTIONS = b"POST /v1/models/"
_PROBE_PATHS = (b"/healthz", b"/readyz")
_HOP_HEADERS = frozenset({b"upgrade", b"http2-settings"})

_DETAILS = {
    400: "The bytes are not a valid HTTP/1.1 request.",
    414: f"The request line is longer than {MAX_REQUEST_LINE_BYTES} bytes.",
    431: f"The request head is over a limit: {MAX_HEADERS} headers, {MAX_HEADER_BYTES} bytes per header, "
    f"{MAX_HEAD_BYTES} bytes in all.",
    501: "CONNECT is not supported.",
    503: "All connections of the service are taken. Try again.",
}


class FastPathLike(Protocol):
    """Answers some requests without an ASGI task."""

    def take(self, connection: Any, data: bytes) -> Any:
        """Begins the request that `data` is, and returns what stands for uvicorn's cycle meanwhile; a `PartialRequest`
        when the rest of it is to be waited for; None: it is none of those, nothing was done."""

    def remember(self, head: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Takes the head of a request that came the usual way, and what the parser made of it."""


class HeadRefused(Exception):
    """Ends the parsing of a request; `Connection` answers with the status it noted."""


class Connection(HttpToolsProtocol):
    """One client connection: uvicorn's HTTP protocol with time limits and the fast path.

    Args:
        address: the client is counted under it.
        probe: taken over the cap; only a health probe is answered, once.
    """

    def __init__(
        self, table: ConnectionTable, *, address: str, probe: bool, fast_path: FastPathLike | None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.url = b""
        self._table = table
        self._limits = table.limits
        self._fast_path = fast_path
        self.address = address
        self.probe = probe
        self.waits_since = time.monotonic()
        self._head_came = math.inf
        self._used = False  # has had a request
        self._in_headers = False
        self._in_message = False
        self._in_body = False  # of a request that was begun
        self._upgrade = False
        self._head = b""
        self._head_bytes = 0  # as the parser reports them
        self._fed = 0  # as they were given to it since the head began
        self._header_count = 0
        self._body_left = 0  # of a body with a Content-Length
        self._body_bytes = 0
        self._held = bytearray()  # not yet given to the parser
        self._refusal = 0
        self._discarded = 0
        self._discards_since = math.inf
        self._send_times = SendTimes(table.limits)
        self.last_head: tuple[bytes, Any] | None = None  # the fast path's, and what it found of it
        self._partial: PartialRequest | None = None  # nothing of it was given to the parser

    @property
    def busy(self) -> bool:
        """A request is under way, or waits behind one."""
        return (self.cycle is not None and not self.cycle.response_complete) or bool(self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        self._held.clear()
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self.transport.close()
            return
        if self._partial is not None:
            whole = self._partial.add(data)
            if whole is None:
                return
            data, self._partial = whole, None
        if self._fast_path is not None and not self._in_message and data.startswith(_PREDICTIONS):
            if self._take_fast(self._fast_path, data):
                return
            self._head = _whole_head(data)
        if not self._held and not self.pipeline and len(data) <= _SLICE:
            self._feed(data)
        else:
            self._held += data
            self._feed_held()

    def answered(self, cycle: Any) -> None:
        """A request that went the fast path has its response."""
        if not cycle.keep_alive or self._table.draining:
            self.transport.close()
        self._response_is_complete()

    def check(self, now: float) -> None:
        """Ends the connection when it is over one of its times. Called about once per second."""
        transport = self.transport
        if transport is None:
            return
        if self._send_times.are_over(transport, now):
            transport.abort()
            return
        if transport.is_closing():
            return
        self._wait_no_more()  # a body that does not come is bounded in time on the usual way
        if now - self._discards_since >= _LINGER_S or now - self.waits_since >= self._patience():
            transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def evictable_since(self) -> float:
        """As `TrackedConnection` says. A head is sent fast; who then keeps its body back costs a place all the same."""
        if self.waits_since < math.inf:
            return self.waits_since
        scope = getattr(self.cycle, "scope", None)  # the fast path's has none: its requests have tokens
        waits = self._in_body or self.flow.write_paused or self.transport.is_closing()
        return self._head_came if waits and scope is not None and "token" not in scope["state"] else math.inf

    def _patience(self) -> float:
        if self.probe:
            return min(_PROBE_S, self._limits.head_s)
        return self._limits.head_s if self._in_headers or not self._used else self._limits.idle_s

    # What follows is called by the parser, or by uvicorn's cycle.

    def on_message_begin(self) -> None:
        self._in_headers = self._in_message = True
        self._head_bytes = self._fed = self._header_count = self._body_left = self._body_bytes = 0
        if not self.busy:
            self.waits_since = time.monotonic()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_REQUEST_LINE_BYTES:
            self._stop_parsing(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + 4
        self._head_bytes += size
        self._header_count += 1
        if size > MAX_HEADER_BYTES or self._head_bytes > MAX_HEAD_BYTES or self._header_count > MAX_HEADERS:
            self._stop_parsing(431)
        if not self._in_headers:
            return  # a trailer: nothing here reads it, and the request has begun
        super().on_header(name, value)
        if name.lower() == b"content-length" and value.isdigit() and len(value) < 16:
            self._body_left = int(value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._head_bytes = self._header_count = 0
        head, self._head = self._head, b""
        if self.parser.should_upgrade():
            self._upgrade = True  # see `_without_upgrade`
            return
        if self.probe and self.url.partition(b"?")[0] not in _PROBE_PATHS:
            self._stop_parsing(503)
        if head and self._fast_path is not None and self._stays_open():
            self._fast_path.remember(head, self.url, self.headers)
        self.waits_since = math.inf
        self._head_came = time.monotonic()
        self._used = True
        super().on_headers_complete()
        self.cycle.transport = ResponseTransport(self.transport, self.loop.call_soon)  # type: ignore[assignment]
        self._in_body = True
        if self.probe:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_left -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrade:
            return
        self._in_message = self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if isinstance(sender := getattr(self.cycle, "transport", None), ResponseTransport):
            sender.flush()
        self._response_is_complete()

    def shutdown(self) -> None:
        self._held.clear()
        self._wait_no_more()
        super().shutdown()

    def _response_is_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.waits_since = time.monotonic()
            if self._refusal:
                self._refuse()
        if self._held:
            self.loop.call_soon(self._feed_held)

    def _take_fast(self, fast_path: FastPathLike, data: bytes) -> bool:
        cycle = self.cycle
        if (cycle is not None and not cycle.response_complete) or self.pipeline:
            return False  # as `busy`, without its call
        if self._held or self._refusal or self.probe or self.flow.write_paused:
            return False
        found = fast_path.take(self, data)
        if found is None:
            return False
        if isinstance(found, PartialRequest):
            found.begin(data)
            self._partial = found
        else:
            self.cycle = found
        self.waits_since = math.inf
        self._used = True
        return True

    def _wait_no_more(self) -> None:
        """The request whose body is not whole goes the usual way, if there is one."""
        if self._partial is not None:
            data, self._partial = self._partial.end(), None
            self._head = _whole_head(data)
            self._feed(data)

    def _feed_held(self) -> None:
        """Gives the parser what came, a slice at a time, and no more while requests wait behind one."""
        while self._held and not self.pipeline and not self._refusal:
            if self.transport.is_closing():
                self._held.clear()
                return
            size = max(_SLICE, min(self._body_left, len(self._held))) if self._in_message else _SLICE
            piece = bytes(memoryview(self._held)[:size])
            del self._held[:size]
            self._feed(piece)
        if self._held:
            self.flow.pause_reading()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refusal = self._refusal or 400
        else:
            self._fed += len(data)
            if self._in_headers:
                if self._fed > MAX_HEAD_BYTES + _SLICE:
                    self._refusal = 431
            elif self._in_body and self._fed > (
                MAX_HEAD_BYTES + _OVERHEAD_BYTES + (1 + _OVERHEAD_PER_BYTE) * self._body_bytes
            ):
                self._refusal = 400
        if self._refusal:
            self._held.clear()
            if self._in_body:
                self._break_off()
            elif not self.busy:
                self._refuse()

    def _stop_parsing(self, status: int) -> None:
        self._refusal = self._refusal or status
        raise HeadRefused

    def _without_upgrade(self, rest: bytes) -> None:
        """Parses the head again without its offer to change the protocol, which a server may ignore (RFC 9110, 7.8).

        The parser takes no body for a request with such an offer: what follows would be read as the next request.
        """
        self._upgrade = False
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refusal = 501
            self._held.clear()
            self._refuse()
            return
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                kept = b", ".join(option for option in options if option.lower() not in _HOP_HEADERS)
            if name not in _HOP_HEADERS and kept:
                lines.append(b"%b: %b" % (name, kept))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._head = b""
        self._feed(b"\r\n".join([*lines, b"", b""]))
        if rest and not self._refusal:
            self._held[:0] = rest
            self._feed_held()

    def _stays_open(self) -> bool:
        return bool(self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive())

    def _break_off(self) -> None:
        """The body of a request is broken whose head was taken already."""
        cycle = self.cycle
        if self.pipeline or cycle.response_started or cycle.disconnected:
            self.transport.close()
            return
        cycle.disconnected = True
        cycle.message_event.set()
        self._refuse()

    def _refuse(self) -> None:
        """Answers what is not a request within the limits, and drops what still comes for a moment: closing at once
        could make the client's system drop the answer."""
        if self.transport.is_closing():
            return
        self._discards_since = self.waits_since = time.monotonic()
        path = self.url[:200].decode("latin-1") if self.url else "/"
        status, headers, body = plain_problem(self._refusal, path, _DETAILS[self._refusal], [(b"connection", b"close")])
        log.info("request refused", status=status, address=self.address)
        self.transport.write(response_bytes(status, [*self.server_state.default_headers, *headers], body))
        if self.transport.can_write_eof():
            self.transport.write_eof()


def _whole_head(data: bytes) -> bytes:
    """The head that data begin with; empty while it is not whole: a part of one must not stand for what it is of."""
    end = data.find(b"\r\n\r\n")
    return b"" if end < 0 else data[: end + 4]
