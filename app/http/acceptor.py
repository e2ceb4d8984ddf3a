"""Accepts connections within the caps of `app.http.connections`.

asyncio's own accepting is not used: under uvloop it takes whatever waits before the first connection can be refused,
and one moment without descriptors can close the listening socket for good.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from app.http.connections import ConnectionTable, network_of
from app.http.problems import plain_problem, response_bytes

log = structlog.get_logger("app.http")

_AT_ONCE = 16
_PAUSE_S = 0.05
_NONE_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_FULL = response_bytes(
    *plain_problem(
        503,
        "/",
        "All connections of the service are taken. Try again.",
        [(b"retry-after", b"1"), (b"connection", b"close")],
    )
)


class Acceptor:
    """One listening socket. For uvicorn it is an `asyncio.Server`: `sockets`, `close` and `wait_closed`.

    Args:
        make: (address, probe) → the protocol of a new connection.
        tls: of the connections; None: they have none.
        refusal: what a connection over the caps hears.
    """

    def __init__(
        self,
        listener: socket.socket,
        table: ConnectionTable,
        make: Callable[[str, bool], Any],
        loop: asyncio.AbstractEventLoop,
        *,
        tls: ssl.SSLContext | None = None,
        refusal: bytes = _FULL,
    ) -> None:
        listener.setblocking(False)
        self.sockets = (listener,)
        self._listener = listener
        self._table = table
        self._make = make
        self._loop = loop
        self._refusal = refusal
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": table.limits.head_s}
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False
        self._told_at = float("-inf")
        loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def wait_closed(self) -> None:
        """Nothing to wait for: the socket closes at once."""

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(error)
                return
            self._open(client, network_of(address[0]) if isinstance(address, tuple) else "")

    def _open(self, client: socket.socket, address: str) -> None:
        answer = self._table.admit(address)
        client.setblocking(False)
        if answer == "no":
            _refuse(client, self._refusal)
            return
        connection = self._make(address, answer == "probe")
        self._table.add(connection)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # ends event streams whose client vanished
        task = self._loop.create_task(self._connect(client, connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, client: socket.socket, connection: Any) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, client, **self._tls)
        except OSError:  # the client left in this moment
            client.close()
            self._table.remove(connection)

    def _pause(self, error: OSError) -> None:
        """No descriptors: some idle connections end, and accepting goes on a moment later."""
        if error.errno in _NONE_LEFT:
            self._table.free_descriptors()
        if self._loop.time() - self._told_at > 10:
            self._told_at = self._loop.time()
            log.warning("cannot accept connections for a moment", why=error.strerror, connections=len(self._table))
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener.fileno(), self._accept)


class OtherLanes:
    """Listeners of lanes that do not accept now, which nobody else looks after.

    Args:
        accept: begins to accept from a lane's listeners.
    """

    def __init__(self, accept: Callable[[Sequence[socket.socket]], list[Acceptor]]) -> None:
        self._accept = accept
        self._acceptors: dict[int, list[Acceptor]] = {}

    def stand_in(self, lane: int, listeners: Sequence[socket.socket]) -> None:
        """Accepts from another lane's listeners too, until `stand_back`."""
        self.stand_back(lane)
        self._acceptors[lane] = self._accept(listeners)

    def stand_back(self, lane: int) -> None:
        for acceptor in self._acceptors.pop(lane, ()):
            acceptor.close()

    def close(self) -> None:
        """Stands back everywhere."""
        for lane in list(self._acceptors):
            self.stand_back(lane)


def _refuse(client: socket.socket, refusal: bytes) -> None:
    try:
        client.send(refusal)
    except OSError:
        pass
    finally:
        client.close()
