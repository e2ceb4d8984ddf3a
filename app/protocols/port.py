"""The gRPC port as the API process opens and closes it. What it needs is imported only where a port is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.config import Settings
from app.http.request_metrics import Traffic
from app.protocols.inference import Inference

if TYPE_CHECKING:
    from app.protocols.grpc_server import GrpcServer

_GRACE_S = 10.0


class GrpcPort:
    """The port that the settings name, or none.

    Args:
        ready: whether predictions are answered now, for health checks.
        shared: other processes of this service open the port too, and the kernel spreads connections over them.
    """

    def __init__(
        self,
        settings: Settings,
        inference: Inference,
        traffic: Traffic,
        ready: Callable[[], bool],
        *,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._settings = settings
        self._inference = inference
        self._traffic = traffic
        self._ready = ready
        self._server: GrpcServer | None = None
        self.number = 0
        """Of the port; 0 while it is not open."""

    async def start(self) -> None:
        """Raises OSError where the port cannot be opened or a TLS file cannot be read."""
        if not self._settings.grpc_port:
            return
        from app.protocols.grpc_server import GrpcServer, TlsFiles
        from app.protocols.rpc_methods import Methods
        from app.protocols.rpc_services import all_methods, descriptors

        settings = self._settings
        tls = None
        if settings.grpc_tls_certificate is not None and settings.grpc_tls_key is not None:
            tls = TlsFiles(settings.grpc_tls_certificate, settings.grpc_tls_key, settings.grpc_tls_client_ca)
        methods = all_methods(self._inference, self._ready)
        self._server = GrpcServer(
            Methods(self._inference, methods, self._traffic),
            services=sorted({path.split("/")[1] for path in methods}),
            pool=descriptors(),
            ready=self._ready,
            max_message_bytes=settings.max_body_bytes,
            tls=tls,
            shared=self._shared,
        )
        self.number = await self._server.start(settings.host, settings.grpc_port)

    async def stop(self) -> None:
        """Takes no new calls and waits for those that run, ten seconds at most."""
        if self._server is not None:
            await self._server.stop(_GRACE_S)
