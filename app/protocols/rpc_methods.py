"""Methods that a transport can call: a path, the bytes of a message and its metadata in, a status and bytes out.

The statuses are gRPC's; a transport that is not gRPC sends them in its own way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import structlog
from google.protobuf.message import DecodeError

from app import errors
from app.errors import InvalidInput, ServiceError, TooLarge
from app.http.auth import TokenInfo
from app.http.problems import status_of, whole_seconds
from app.http.rate_limit import Account
from app.http.request_metrics import Traffic
from app.protocols.elements import MOST_ELEMENTS, Fields, count_elements, fields_of
from app.protocols.inference import Caller, Inference
from app.serving.large_body import INLINE_BYTES
from app.serving.metrics import CLIENT_LEFT

log = structlog.get_logger("app.protocols")

NOBODY = TokenInfo("", "nobody")
_PLAIN_ELEMENTS = 256
"""A message of so few is read on the event loop, whatever its size: its bytes are tensors as they stand."""
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
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_OK = Status.OK
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
        predictions: identifiers of the predictions that the message holds, in their order.
        retry_after_s: whole seconds after which it is worth trying again; None: it is not, as it stands.
    """

    status: Status
    message: bytes = b""
    detail: str = ""
    retry_after_s: int | None = None
    predictions: tuple[bytes, ...] = ()


def answer_with(response: Any, *predictions: bytes) -> Answer:
    """The answer that is a message."""
    return Answer(_OK, response.SerializeToString(), "", None, predictions)


class Method(NamedTuple):
    """One method of a service.

    Attributes:
        request: class of its message.
        scope: that a token needs; `predict`: counted as a prediction; None: no token is needed.
        run: answers a request.
    """

    request: Any
    scope: str | None
    run: Callable[[Caller, Any], Awaitable[Answer]]


class Methods:
    """The methods of all services by path, for example `/tensorflow.serving.PredictionService/Predict`."""

    def __init__(self, inference: Inference, methods: Mapping[str, Method], traffic: Traffic) -> None:
        self._inference = inference
        self._methods = methods
        self._traffic = traffic
        self._known_fields: dict[Any, Fields] = {}

    def find(self, path: str) -> Method | None:
        return self._methods.get(path)

    def remembered(self, method: Method, digest: bytes) -> TokenInfo | None:
        """Whose call it is, where that is known without asking anybody; None: `admit` has to find out."""
        if method.scope is None:
            return NOBODY
        return self._inference.remembered(digest, method.scope)

    async def admit(self, method: Method, authorization: str) -> TokenInfo:
        """Whose call it is. Raises Unauthenticated, Forbidden, Unavailable."""
        return await self._inference.admit(authorization, method.scope or "")

    def account(self, token: TokenInfo) -> Account:
        return self._inference.accounts.for_token(token.id)

    def check_bytes(self, account: Account, size: int) -> None:
        """Raises Overloaded: the token's messages are too large together."""
        self._inference.accounts.check_bytes(account, size)

    async def answer(
        self,
        path: str,
        token: TokenInfo,
        message: bytes,
        headers: Mapping[bytes, bytes],
        started: float,
        deadline: float,
    ) -> Answer:
        """The answer to a call; nothing is raised.

        Args:
            path: of a method.
            headers: the call's metadata.
            started: when it came; deadline: until when its answer is of use (`time.perf_counter`).
        """
        method = self._methods[path]
        status = 200
        try:
            if method.scope not in (None, "predict"):
                self._inference.count_request(token)
            size = len(message)
            dear = size > INLINE_BYTES and self._is_dear(method, message)
            if dear:
                request = await self._inference.large.read(token, size, partial(self._parse_checked, method, message))
            else:
                request = _parse(method, message)
            return await method.run(Caller(token, size, size, deadline, headers, dear), request)
        except asyncio.CancelledError:
            status = CLIENT_LEFT
            raise
        except Exception as error:
            status, answer = self._failed(path, error)
            return answer
        finally:
            self._traffic.add("gRPC", path, status, time.perf_counter() - started)

    def _is_dear(self, method: Method, message: bytes) -> bool:
        return count_elements(message, self._fields(method), _PLAIN_ELEMENTS) > _PLAIN_ELEMENTS

    def _fields(self, method: Method) -> Fields:
        found = self._known_fields.get(method.request)
        if found is None:
            found = self._known_fields[method.request] = fields_of(method.request.DESCRIPTOR)
        return found

    def _parse_checked(self, method: Method, message: bytes) -> Any:
        """The request. Raises InvalidInput, and TooLarge."""
        if count_elements(message, self._fields(method), MOST_ELEMENTS) > MOST_ELEMENTS:
            raise TooLarge(
                f"The message has more than {MOST_ELEMENTS} values. Send it in parts, or its numbers as raw tensors."
            )
        return _parse(method, message)

    def refused(self, path: str, error: Exception, started: float) -> Answer:
        """The answer to a call that failed before its message was read."""
        status, answer = self._failed(path, error)
        self._traffic.add("gRPC", path, status, time.perf_counter() - started)
        return answer

    def _failed(self, path: str, error: Exception) -> tuple[int, Answer]:
        """The status that HTTP would have, and the answer."""
        if isinstance(error, ServiceError):
            retry_after_s = whole_seconds(error.retry_after_s)
            return status_of(error), Answer(grpc_status(error), detail=error.detail, retry_after_s=retry_after_s)
        log.error("call failed", path=path, exc_info=error)
        return 500, Answer(Status.INTERNAL, detail=_INTERNAL)


def _parse(method: Method, message: bytes) -> Any:
    """The request. Raises InvalidInput."""
    try:
        return method.request.FromString(message)
    except DecodeError:
        raise InvalidInput("The message is no valid protobuf of this method's request.") from None


def grpc_status(error: BaseException) -> Status:
    """Of the nearest class up the error's tree."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return Status.INTERNAL
