"""The gRPC port: accepts connections within the caps that HTTP's have, and ends them in order.

Imported only where there is a port to open. Health (`grpc.health.v1`) and reflection need no token, as `/healthz` and
the OpenAPI document need none.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.http.acceptor import Acceptor, OtherLanes
from app.http.connections import ConnectionTable
from app.protocols.grpc_connection import GrpcConnection
from app.protocols.port_state import PortState
from app.protocols.rpc_methods import Methods
from app.protocols.rpc_services import Services

log = structlog.get_logger("app.protocols")

_HEALTH_S = 1.0
_LOOK_S = 0.02
_MESSAGE_OVERHEAD = 64 * 1024


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of the port. With `client_ca` only clients with a certificate of that authority may connect."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises OSError, naming the file, where one cannot be read or is none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        for path in filter(None, (self.certificate, self.key, self.client_ca)):
            path.read_bytes()  # names the file that is missing, which OpenSSL does not
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.client_ca)
        except ssl.SSLError as error:
            raise OSError(f"The TLS files of the gRPC port cannot be used: {error}") from None
        return context


class GrpcServer:
    """The server of one port.

    Args:
        table: that counts the port's connections, with HTTP's where there is one service.
        max_message_bytes: of a request; a longer one is RESOURCE_EXHAUSTED before it is read.
    """

    def __init__(
        self,
        table: ConnectionTable,
        methods: Methods,
        services: Services,
        *,
        max_message_bytes: int,
        tls: TlsFiles | None = None,
    ) -> None:
        most = max_message_bytes + _MESSAGE_OVERHEAD
        self.state = PortState(table, methods, services.streaming, max_message_bytes=most)
        self._health = services.health
        self._tls = None if tls is None else tls.context()
        self._acceptors: list[Acceptor] = []
        self.other_lanes = OtherLanes(self._accept)
        self._watch: asyncio.Task[None] | None = None

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accepts from the listeners."""
        self._acceptors = self._accept(listeners)
        self._watch = asyncio.create_task(self._tell_health(), name="grpc-health")
        log.info("gRPC port open", port=listeners[0].getsockname()[1], tls=self._tls is not None)

    def drain(self) -> None:
        """Accepts no more, takes no new calls; those that run are answered."""
        for acceptor in self._acceptors:
            acceptor.close()
        self.other_lanes.close()
        self.state.draining = True
        for connection in self._connections():
            connection.drain()

    async def stop(self, grace_s: float) -> None:
        """As `drain`; calls get `grace_s` to end."""
        self.drain()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        while self._connections() and loop.time() < end:  # noqa: ASYNC110  the table tells it no other way
            await asyncio.sleep(_LOOK_S)
        for connection in self._connections():
            connection.abort()
        if self._watch is not None:
            self._watch.cancel()

    def _connections(self) -> list[GrpcConnection]:
        return [one for one in self.state.table if isinstance(one, GrpcConnection) and one.port is self.state]

    def _accept(self, listeners: Sequence[socket.socket]) -> list[Acceptor]:
        table, loop = self.state.table, asyncio.get_running_loop()
        return [Acceptor(listener, table, self._connection, loop, tls=self._tls, refusal=b"") for listener in listeners]

    def _connection(self, address: str, probe: bool) -> GrpcConnection:
        return GrpcConnection(self.state, asyncio.get_running_loop(), address, probe=probe)

    async def _tell_health(self) -> None:
        """Keeps what those that watch were told in step with readiness."""
        while True:
            self._health.tell()
            await asyncio.sleep(_HEALTH_S)
