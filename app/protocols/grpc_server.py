"""The gRPC port: grpcio's server on the event loop, which hands each call's bytes to `Methods`.

Imported only where there is a port to open. Health (`grpc.health.v1`) and reflection need no token, as `/healthz` and
the OpenAPI document need none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from app.protocols.rpc_methods import Methods, Status

log = structlog.get_logger("app.protocols")

_HEALTH_S = 1.0
_STREAMS = 256
_CALLS = 4096
_MESSAGE_OVERHEAD = 64 * 1024
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of the port. With `client_ca` only clients with a certificate of that authority may connect."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> Any:
        """Raises OSError where a file cannot be read."""
        authority = None if self.client_ca is None else self.client_ca.read_bytes()
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


class GrpcServer:
    """The server of one port.

    Args:
        methods: what can be called.
        services: names of the services; `pool` describes them to reflection.
        ready: whether predictions are answered now, for health checks.
        max_message_bytes: of a request; a longer one is RESOURCE_EXHAUSTED before it is read.
    """

    def __init__(
        self,
        methods: Methods,
        *,
        services: Sequence[str],
        pool: Any,
        ready: Callable[[], bool],
        max_message_bytes: int,
        tls: TlsFiles | None = None,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._methods = methods
        self._services = list(services)
        self._pool = pool
        self._ready = ready
        self._max_message_bytes = max_message_bytes
        self._tls = tls
        self._server: Any = None
        self._health = health.aio.HealthServicer()
        self._watch: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Opens the port; its number. Raises OSError where that cannot be."""
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._max_message_bytes + _MESSAGE_OVERHEAD),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _STREAMS),
                ("grpc.so_reuseport", int(self._shared)),
            ],
            maximum_concurrent_rpcs=_CALLS,
        )
        self._server.add_generic_rpc_handlers([_Handlers(self._methods)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server, pool=self._pool)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._tls is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, self._tls.credentials())
        except RuntimeError as error:
            raise OSError(f"The gRPC port {address} cannot be opened: {error}") from None
        await self._server.start()
        self._watch = asyncio.create_task(self._tell_health(), name="grpc-health")
        log.info("gRPC port open", host=host, port=bound, tls=self._tls is not None)
        return int(bound)

    async def stop(self, grace_s: float) -> None:
        """Takes no new calls; those that run get `grace_s` to end."""
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace_s)

    async def _tell_health(self) -> None:
        """Keeps what health checks say in step with readiness."""
        while True:
            kinds = health_pb2.HealthCheckResponse
            status = kinds.SERVING if self._ready() else kinds.NOT_SERVING
            for name in ("", *self._services):
                await self._health.set(name, status)
            await asyncio.sleep(_HEALTH_S)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, methods: Methods) -> None:
        self._methods = methods
        self._handlers: dict[str, Any] = {}

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a path; None where there is no such method, which gRPC answers with UNIMPLEMENTED."""
        path = handler_call_details.method
        if path not in self._methods:
            return None
        handler = self._handlers.get(path)
        if handler is None:
            handler = self._handlers[path] = grpc.unary_unary_rpc_method_handler(self._handler(path))
        return handler

    def _handler(self, path: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(message: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata() or ())
            answer = await self._methods(path, message, metadata, context.time_remaining())
            if answer.status is not Status.OK:
                wait_s = answer.retry_after_s
                trailing = () if wait_s is None else (("retry-after", str(wait_s)),)
                await context.abort(_CODES[answer.status], answer.detail, trailing)
            return answer.message

        return handle
