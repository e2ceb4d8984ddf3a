"""`grpc.health.v1.Health`: whether predictions are answered now, for load balancers and orchestrators. No token."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from google.protobuf.message import DecodeError

from app.errors import NotFound
from app.protocols.inference import Caller
from app.protocols.message_schema import MessageSchema
from app.protocols.rpc_methods import Answer, Method, Status
from app.protocols.streaming_call import StreamingCall, StreamingMethod

SERVICE = "grpc.health.v1.Health"
TABLE = """
package grpc.health.v1
message HealthCheckRequest
1 string service
message HealthCheckResponse
1 grpc.health.v1.HealthCheckResponse.ServingStatus status
enum HealthCheckResponse.ServingStatus
values UNKNOWN=0 SERVING=1 NOT_SERVING=2 SERVICE_UNKNOWN=3
service Health
rpc Check grpc.health.v1.HealthCheckRequest grpc.health.v1.HealthCheckResponse
rpc Watch grpc.health.v1.HealthCheckRequest grpc.health.v1.HealthCheckResponse*
"""
_schema = MessageSchema(TABLE)
_Request = _schema.message("grpc.health.v1.HealthCheckRequest")
_Response = _schema.message("grpc.health.v1.HealthCheckResponse")
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = (bytes(_Response(status=number).SerializeToString()) for number in (1, 2, 3))


class HealthService:
    """All services of the port are ready together.

    Args:
        services: that may be asked about; "" is the whole.
        ready: whether predictions are answered now.
    """

    def __init__(self, services: Collection[str], ready: Callable[[], bool]) -> None:
        self._services = {"", *services}
        self._ready = ready
        self._watches: set[HealthWatch] = set()

    def methods(self) -> dict[str, Method]:
        return {f"/{SERVICE}/Check": Method(_Request, None, self.check)}

    def streaming(self) -> dict[str, Callable[[], StreamingMethod]]:
        return {f"/{SERVICE}/Watch": lambda: HealthWatch(self)}

    async def check(self, caller: Caller, request: Any) -> Answer:
        """Raises NotFound: there is no such service."""
        if request.service not in self._services:
            raise NotFound("There is no such service.")
        return Answer(Status.OK, self.status(request.service))

    def status(self, service: str) -> bytes:
        """A response's bytes."""
        if service not in self._services:
            return _SERVICE_UNKNOWN
        return _SERVING if self._ready() else _NOT_SERVING

    def watch(self, watch: HealthWatch) -> None:
        self._watches.add(watch)

    def unwatch(self, watch: HealthWatch) -> None:
        self._watches.discard(watch)

    def tell(self) -> None:
        """Tells those that watch what has changed."""
        for watch in list(self._watches):
            watch.tell()


class HealthWatch:
    """One client that watches one service."""

    def __init__(self, health: HealthService) -> None:
        self._health = health
        self._call: StreamingCall
        self._service: str | None = None
        self._told = b""

    def begin(self, call: StreamingCall) -> None:
        self._call = call

    def message(self, message: bytes) -> None:
        try:
            service = _Request.FromString(message).service
        except DecodeError:
            self._call.end(Answer(Status.INVALID_ARGUMENT, detail="The message is no HealthCheckRequest."))
            return
        if self._service is None:
            self._service = service
            self._health.watch(self)
            self.tell()

    def tell(self) -> None:
        status = self._health.status(self._service or "")
        if status != self._told:
            self._told = status
            self._call.answer(status)

    def ended(self) -> None:
        """The client has said what it watches."""
        if self._service is None:
            self._call.end(Answer(Status.INVALID_ARGUMENT, detail="The call has to bring one message."))

    def gone(self) -> None:
        self._health.unwatch(self)
