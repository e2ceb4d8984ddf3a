"""The gRPC port as the API process opens and closes it. What it needs is imported only where a port is set."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.config import Settings
from app.http.connections import ConnectionTable
from app.http.listen import listen
from app.http.request_metrics import Traffic
from app.protocols.inference import Inference

if TYPE_CHECKING:
    from app.protocols.grpc_server import GrpcServer

_GRACE_S = 10.0


class GrpcPort:
    """The port that the settings name, or none.

    Args:
        ready: whether predictions are answered now, for health checks.
        table: counts the port's connections.
        listeners: of the port; none in the list: there is no port; None: it opens its own.
    """

    def __init__(
        self,
        settings: Settings,
        inference: Inference,
        traffic: Traffic,
        ready: Callable[[], bool],
        *,
        table: ConnectionTable,
        listeners: Sequence[socket.socket] | None = None,
    ) -> None:
        self._settings = settings
        self._inference = inference
        self._traffic = traffic
        self._ready = ready
        self._table = table
        self._listeners = listeners
        self._server: GrpcServer | None = None
        self.number = 0
        """Of the port; 0 while it is not open."""

    async def open(self) -> None:
        """Clients can connect; `accept` lets them in. Raises OSError where the port cannot be opened or a TLS file
        cannot be read."""
        settings = self._settings
        if not (settings.grpc_port if self._listeners is None else self._listeners):
            return
        from app.protocols.grpc_server import GrpcServer, TlsFiles
        from app.protocols.rpc_methods import Methods
        from app.protocols.rpc_services import all_services

        tls = None
        if settings.grpc_tls_certificate is not None and settings.grpc_tls_key is not None:
            tls = TlsFiles(settings.grpc_tls_certificate, settings.grpc_tls_key, settings.grpc_tls_client_ca)
        services = all_services(self._inference, self._ready)
        self._server = GrpcServer(
            self._table,
            Methods(self._inference, services.methods, self._traffic),
            services,
            max_message_bytes=settings.max_body_bytes,
            tls=tls,
        )
        if self._listeners is None:
            try:
                self._listeners = await listen(settings.host, settings.grpc_port)
            except OSError as error:
                address = f"{settings.host}:{settings.grpc_port}"
                raise OSError(f"The gRPC port {address} cannot be opened: {error}") from None
        self.number = self._listeners[0].getsockname()[1]

    def accept(self) -> None:
        if self._server is not None and self._listeners:
            self._table.start()
            self._server.start(self._listeners)

    def stand_in(self, lane: int, listeners: Sequence[socket.socket]) -> None:
        """Accepts from another lane's listeners too, until `stand_back`: nobody does so now."""
        if self._server is None:
            for listener in listeners:
                listener.close()
        else:
            self._server.other_lanes.stand_in(lane, listeners)

    def stand_back(self, lane: int) -> None:
        if self._server is not None:
            self._server.other_lanes.stand_back(lane)

    def drain(self) -> None:
        """Accepts no more; clients are told to go elsewhere with their next calls, and those that run are answered."""
        if self._server is not None:
            self._server.drain()

    async def stop(self) -> None:
        """Takes no new calls and waits for those that run, ten seconds at most."""
        if self._server is not None:
            await self._server.stop(_GRACE_S)
