"""The HTTP server: uvicorn, with a limit on how long a client may take to send its headers (uvicorn has none, and each
such connection would be kept for ever). Bodies are timed by the gate."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

STOP_WITHIN_S = 10


class TimedHeaders(HttpToolsProtocol):
    """Closes a connection whose request line and headers are not complete in time."""

    headers_within_s = 20.0
    _timer: asyncio.TimerHandle | None = None
    _in_headers = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_headers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_headers:  # rare: headers mostly come in one piece, and a timer a request is dear
            self._expect_headers()

    def on_message_begin(self) -> None:
        self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._have_headers()
        super().on_headers_complete()

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
        http=TimedHeaders,
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
