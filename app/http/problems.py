"""Errors as HTTP answers (RFC 9457, `application/problem+json`). The one place that maps kinds of errors to statuses.

Used by FastAPI's handlers (`install`) and by plain ASGI code (`problem`). Whatever the path, a body has the members
`type title status detail instance`, `errors` where places in the input are known, and on model paths also `error`,
which TensorFlow Serving's clients read.
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from app import errors, json_pointer
from app.errors import FieldError, InvalidInput, ServiceError, quote_name

MEDIA_TYPE = "application/problem+json"
MODEL_PATHS = ("/v1/models/", "/v2/")
_INSTANCE_LIMIT = 300
_MOST_PLACES = 100


class SlowBody(errors.Timeout):
    """The request's body did not arrive in time."""

    title = "The body came too slowly"


class Misdirected(errors.Forbidden):
    """The `Host` header names somebody else: a DNS rebinding page, or a proxy that is not in the settings."""

    title = "Wrong host"


STATUS: dict[type[ServiceError], int] = {
    errors.TooLarge: 413,
    errors.InvalidInput: 422,
    errors.Unauthenticated: 401,
    Misdirected: 421,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.PreconditionFailed: 412,
    errors.Conflict: 409,
    errors.UnsupportedMedia: 415,
    SlowBody: 408,
    errors.Timeout: 504,
    errors.Overloaded: 429,
    errors.Unavailable: 503,
}

_UNKNOWN = "The service failed on this request. The operator finds the reason in the log under the request id."

Headers = list[tuple[bytes, bytes]]


def status_of(error: BaseException) -> int:
    """The HTTP status for an error: that of the nearest class up its tree, 500 for what is not ours."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def whole_seconds(retry_after_s: float | None) -> int | None:
    """As `Retry-After` says them: at least one."""
    return None if retry_after_s is None else max(1, math.ceil(retry_after_s))


def problem(error: BaseException, instance: str) -> tuple[int, Headers, bytes]:
    """An error as (status, headers, body). `instance` is the request's path. What is not a `ServiceError` becomes a
    500 that says nothing of its cause."""
    status = status_of(error)
    headers: Headers = []
    if isinstance(error, ServiceError):
        title, detail = error.title, error.detail
        wait_s = whole_seconds(error.retry_after_s)
        if wait_s is not None:
            headers.append((b"retry-after", str(wait_s).encode()))
    else:
        title, detail = "Internal error", _UNKNOWN
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="estimator-service"'))
    places = error.errors if isinstance(error, InvalidInput) else []
    return status, _content(headers), _body(status, title, detail, instance, places)


def plain_problem(
    status: int, instance: str, detail: str = "", headers: Headers | None = None
) -> tuple[int, Headers, bytes]:
    """A problem for a bare HTTP status, for example 404 for a path that is no route."""
    title = HTTPStatus(status).phrase
    return status, _content(list(headers or [])), _body(status, title, detail or f"{title}.", instance, [])


def response_bytes(status: int, headers: Headers, body: bytes) -> bytes:
    """A whole response, for where there is no server to write it."""
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
    lines += [b"%b: %b" % header for header in [*headers, (b"content-length", b"%d" % len(body))]]
    return b"\r\n".join([*lines, b"", body])


def pointer(location: tuple[Any, ...]) -> str:
    """A JSON pointer from pydantic's `loc`; the names of unknown fields are cut and escaped as in messages."""
    return json_pointer.pointer(*(quote_name(part)[1:-1] for part in location))


def from_validation(found: list[Any]) -> InvalidInput:
    """FastAPI's or pydantic's list of errors as ours, without the input that they carry."""
    places = []
    for item in found[:_MOST_PLACES]:
        location = tuple(item.get("loc", ()))
        source = location[0] if location else "body"
        if source == "body":
            location = location[1:]
        detail = "No such field." if item.get("type") == "extra_forbidden" else _sentence(str(item.get("msg", "")))
        places.append(FieldError(pointer(location), detail))
    if not places:
        return InvalidInput("The request is not valid.")
    first = places[0]
    return InvalidInput(f"{first.pointer or '/'}: {first.detail}", places)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


def _content(headers: Headers) -> Headers:
    return [(b"content-type", MEDIA_TYPE.encode()), *headers]


def _body(status: int, title: str, detail: str, instance: str, places: list[FieldError]) -> bytes:
    slug = title.lower().replace(" ", "-")
    content: dict[str, Any] = {
        "type": f"urn:estimator-service:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": quote(instance[:_INSTANCE_LIMIT], safe="/:@!$&'()*+,;=-._~"),
    }
    if places:
        content["errors"] = [{"pointer": place.pointer, "detail": place.detail} for place in places[:_MOST_PLACES]]
    if instance.startswith(MODEL_PATHS):
        content["error"] = detail
    return json.dumps(content).encode()
