"""Methods that a transport can call: a path, the bytes of a message and its metadata in, a status and bytes out.

The statuses are gRPC's; a transport that is not gRPC sends them in its own way.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import structlog
from google.protobuf.message import DecodeError

from app import errors
from app.errors import InvalidInput, ServiceError
from app.http.auth import TokenInfo
from app.http.problems import status_of, whole_seconds
from app.http.request_metrics import Traffic
from app.protocols.inference import Caller, Inference

log = structlog.get_logger("app.protocols")

NOBODY = TokenInfo("", "nobody")
_INTERNAL = "The service failed on this call. The operator finds the reason in the log."


class Status(IntEnum):
    """gRPC's status codes that are answered here."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_STATUS: dict[type[Exception], Status] = {
    errors.InvalidInput: Status.INVALID_ARGUMENT,
    errors.UnsupportedMedia: Status.INVALID_ARGUMENT,
    errors.Unauthenticated: Status.UNAUTHENTICATED,
    errors.Forbidden: Status.PERMISSION_DENIED,
    errors.NotFound: Status.NOT_FOUND,
    errors.Conflict: Status.FAILED_PRECONDITION,
    errors.Timeout: Status.DEADLINE_EXCEEDED,
    errors.QueueFull: Status.UNAVAILABLE,
    errors.Overloaded: Status.RESOURCE_EXHAUSTED,
    errors.Unavailable: Status.UNAVAILABLE,
}


class Answer(NamedTuple):
    """A status with the message's bytes, or with what is wrong, for a person.

    Attributes:
        retry_after_s: whole seconds after which it is worth trying again; None: it is not, as it stands.
    """

    status: Status
    message: bytes = b""
    detail: str = ""
    retry_after_s: int | None = None


class Method(NamedTuple):
    """One method of a service.

    Attributes:
        request: class of its message.
        scope: that a token needs; `predict`: counted as a prediction; None: no token is needed.
        run: answers a request with a message, whose bytes are sent.
    """

    request: Any
    scope: str | None
    run: Callable[[Caller, Any], Awaitable[bytes]]


class Methods:
    """The methods of all services by path, for example `/tensorflow.serving.PredictionService/Predict`."""

    def __init__(self, inference: Inference, methods: Mapping[str, Method], traffic: Traffic) -> None:
        self._inference = inference
        self._methods = methods
        self._traffic = traffic

    def __contains__(self, path: str) -> bool:
        return path in self._methods

    async def __call__(
        self, path: str, message: bytes, metadata: Mapping[str, Any], time_left_s: float | None
    ) -> Answer:
        """The answer to a call; nothing is raised.

        Args:
            path: one that is known here.
            time_left_s: until the caller wants no answer any more; None: it waits as long as we do.
        """
        started = time.perf_counter()
        deadline = started + (float("inf") if time_left_s is None else time_left_s)
        status = 200
        try:
            return Answer(Status.OK, await self._run(self._methods[path], message, metadata, deadline))
        except ServiceError as error:
            status = status_of(error)
            return Answer(grpc_status(error), detail=error.detail, retry_after_s=whole_seconds(error.retry_after_s))
        except Exception as error:
            status = 500
            log.error("call failed", path=path, exc_info=error)
            return Answer(Status.INTERNAL, detail=_INTERNAL)
        finally:
            self._traffic.add("gRPC", path, status, time.perf_counter() - started)

    async def _run(self, method: Method, message: bytes, metadata: Mapping[str, Any], deadline: float) -> bytes:
        token = NOBODY
        if method.scope is not None:
            token = await self._inference.admit(str(metadata.get("authorization", "")), method.scope)
            if method.scope != "predict":
                self._inference.count_request(token)
        headers = {name.encode(): value.encode() for name, value in metadata.items() if isinstance(value, str)}
        try:
            request = method.request.FromString(message)
        except DecodeError:
            raise InvalidInput("The message is no valid protobuf of this method's request.") from None
        return await method.run(Caller(token, len(message), len(message), deadline, headers), request)


def grpc_status(error: BaseException) -> Status:
    """Of the nearest class up the error's tree."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return Status.INTERNAL
