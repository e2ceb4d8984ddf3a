"""The HTTP server: uvicorn, with a limit on how long a client may take to send its headers (uvicorn has none, and each
such connection would be kept for ever), and with a short way for predictions. Bodies are timed by the gate."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

STOP_WITHIN_S = 10
_PREDICTIONS = b"POST /v1/models/"


class ShortWay(Protocol):
    """Answers some requests without an ASGI task. An application that has one shows it as its attribute `direct`."""

    def take(self, connection: Any, data: bytes) -> Any:
        """Begins the request that `data` is, and returns what stands for uvicorn's cycle meanwhile; None: it is none
        of those, nothing was done."""

    def remember(self, head: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Told the head of a request that came the usual way, and what the parser made of it."""


class Connection(HttpToolsProtocol):
    """One client's connection. Closes it when a request line and its headers are not complete in time."""

    headers_within_s = 20.0
    _timer: asyncio.TimerHandle | None = None
    _in_headers = False
    _in_message = False
    _head = b""
    _last_answer = 0.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._direct: ShortWay | None = getattr(self.app, "direct", None)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_headers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._direct is not None and not self._in_message and data.startswith(_PREDICTIONS):
            if self._take_directly(self._direct, data):
                return
            self._head = data[: data.find(b"\r\n\r\n") + 4]
        super().data_received(data)
        if self._in_headers:  # rare: headers mostly come in one piece, and a timer a request is dear
            self._expect_headers()

    def answered(self, cycle: Any) -> None:
        """A request that went the short way has its answer."""
        if self.pipeline or not cycle.keep_alive or self.transport.is_closing():
            if not cycle.keep_alive:
                self.transport.close()
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        self._last_answer = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._expect_more(self.timeout_keep_alive)

    def on_message_begin(self) -> None:
        self._in_headers = self._in_message = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._have_headers()
        head, self._head = self._head, b""
        if head and self._direct is not None and self._stays_open():
            self._direct.remember(head, self.url, self.headers)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """On the short way the timer is not set anew a request, it looks when it is due."""
        rest = self._last_answer + self.timeout_keep_alive - self.loop.time()
        self.timeout_keep_alive_task = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_more(self.timeout_keep_alive)
        elif rest > 0.001:
            self._expect_more(rest)
        else:
            super().timeout_keep_alive_handler()

    def _take_directly(self, direct: ShortWay, data: bytes) -> bool:
        if (self.cycle is not None and not self.cycle.response_complete) or self.flow.write_paused:
            return False
        cycle = direct.take(self, data)
        if cycle is None:
            return False
        self.cycle = cycle
        self._have_headers()
        return True

    def _stays_open(self) -> bool:
        parser = self.parser
        return bool(parser.get_http_version() == "1.1" and parser.should_keep_alive() and not parser.should_upgrade())

    def _expect_more(self, within_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(within_s, self.timeout_keep_alive_handler)

    def _expect_headers(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.headers_within_s, self.transport.close)

    def _have_headers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def config(app: Any, *, host: str, port: int) -> uvicorn.Config:
    """How the service is served. Logs are `app.log`'s and the gate's."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )


def serve(app: Any, *, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT; requests under way get `STOP_WITHIN_S` to end."""
    uvicorn.Server(config(app, host=host, port=port)).run()
