"""The HTTP server: uvicorn with our connections (`app.http.connection`) and our accepting (`app.http.acceptor`)."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app.http.acceptor import Acceptor, OtherLanes
from app.http.connection import Connection, FastPathLike
from app.http.connections import ConnectionLimits, ConnectionTable
from app.http.listen import listen

log = structlog.get_logger("app.http")

STOP_WITHIN_S = 10
DRAIN_WITHIN_S = 15


class Server(uvicorn.Server):
    """A uvicorn server whose connections are counted, limited and answered on the fast path.

    Args:
        app: the ASGI application.
        fast_path: answers predictions before an ASGI task is made; None: all requests go through `app`.
        on_accepting: called when connections are accepted.
        table: counts the connections, and has their limits; None: one with the usual limits.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        fast_path: FastPathLike | None = None,
        on_accepting: Callable[[], None] = lambda: None,
        table: ConnectionTable | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
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
        )
        self._fast_path = fast_path
        self.table = ConnectionTable(ConnectionLimits()) if table is None else table
        self._on_accepting = on_accepting
        self._drained_by = 0.0
        self.other_lanes = OtherLanes(self._accept)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, then to accept."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        try:
            listeners = sockets or await listen(self.config.host, self.config.port)
        except OSError as error:
            log.error("cannot listen", host=self.config.host, port=self.config.port, why=str(error))
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        self.table.start()
        self.servers = self._accept(listeners)  # type: ignore[assignment]
        if sockets is None:
            self._log_started_message(listeners)
        self.started = True
        self._on_accepting()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.table.stop()

    def _accept(self, listeners: Sequence[socket.socket]) -> list[Acceptor]:
        loop = asyncio.get_running_loop()
        return [Acceptor(listener, self.table, self._connection, loop) for listener in listeners]

    def _connection(self, address: str, probe: bool) -> Connection:
        return Connection(
            self.table,
            address=address,
            probe=probe,
            fast_path=self._fast_path,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )


class LaneServer(Server):
    """One of several that share an address. Ctrl-C is for the parent, which ends its lanes in order."""

    def drain(self) -> None:
        """Accepts no more, ends each connection with its next response, and then the server."""
        if not self.started:
            self.should_exit = True
            return
        self.other_lanes.close()
        for server in self.servers:
            server.close()
        self.table.draining = True
        close = (b"connection", b"close")
        self.config.encoded_headers.append(close)
        self.server_state.default_headers = [*self.server_state.default_headers, close]
        self._drained_by = time.monotonic() + DRAIN_WITHIN_S

    async def on_tick(self, counter: int) -> bool:
        drained = self.table.draining and (not len(self.table) or time.monotonic() > self._drained_by)
        return await super().on_tick(counter) or drained

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.other_lanes.close()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGINT:
            super().handle_exit(sig, frame)


def serve(
    app: Any, *, host: str, port: int, fast_path: FastPathLike | None = None, table: ConnectionTable | None = None
) -> None:
    """Serves until SIGTERM or SIGINT; requests under way get `STOP_WITHIN_S` to end."""
    Server(app, host=host, port=port, fast_path=fast_path, table=table).run()
