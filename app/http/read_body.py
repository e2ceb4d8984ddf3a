"""Third step of admission: the body of a request, within limits of size, time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.config import Settings
from app.errors import UnsupportedMedia
from app.http.auth import is_public
from app.http.body import BoundedBody, Message, Receive, too_large
from app.http.rate_limit import Account, Accounts
from app.serving.verbs import is_prediction

UPLOAD_PATHS = frozenset({"/v1/datasets"})
DOCUMENT_PATHS = frozenset({"/v1/jobs"})
_FORM_BYTES = 2**20  # what a multipart form adds to its file
_SMALL_BODY_BYTES, _PUBLIC_BODY_BYTES = 256 * 1024, 16 * 1024


class BytesInFlight:
    """Bytes of one request body in memory, counted in its token's account."""

    def __init__(self, accounts: Accounts, account: Account) -> None:
        self._accounts = accounts
        self._account = account
        self._counted = 0

    def count(self, size: int) -> None:
        """Sets the number of bytes. Raises Overloaded: the token has too many bytes in flight."""
        self._accounts.check_bytes(self._account, size - self._counted)
        self._account.bytes += size - self._counted
        self._counted = size

    def release(self) -> None:
        self._account.bytes -= self._counted
        self._counted = 0


def is_upload(method: str, path: str) -> bool:
    """Whether the body is streamed instead of being held in memory."""
    return method == "POST" and path in UPLOAD_PATHS


def body_limit(settings: Settings, method: str, path: str) -> int:
    """Maximum size of a request's body in bytes: large ones only where they are wanted."""
    if is_public(path):
        return min(_PUBLIC_BODY_BYTES, settings.max_body_bytes)
    if is_upload(method, path):
        return settings.max_upload_bytes + _FORM_BYTES
    if method == "POST" and (path in DOCUMENT_PATHS or is_prediction(path)):
        return settings.max_body_bytes
    return min(_SMALL_BODY_BYTES, settings.max_body_bytes)


def bounded_body(
    settings: Settings,
    scope: dict[str, Any],
    headers: Mapping[bytes, bytes],
    receive: Receive,
    in_flight: BytesInFlight,
) -> BoundedBody:
    """The body behind its limits. Of a compressed one the scope's headers lose encoding and length, so that the
    application neither inflates it again nor trusts the old length.

    Raises:
        TooLarge: the `Content-Length` is above the limit, or no number.
        UnsupportedMedia: a content encoding other than gzip.
    """
    limit = body_limit(settings, scope["method"], scope["path"])
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > limit:
        raise too_large(limit)
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip"):
        raise UnsupportedMedia("Only the Content-Encoding gzip is taken.")
    gzipped = encoding == b"gzip"
    body = BoundedBody(receive, limit=limit, timeout_s=settings.body_timeout_s, gzipped=gzipped, count=in_flight.count)
    if gzipped:
        dropped = (b"content-encoding", b"content-length")
        scope["headers"] = [item for item in scope["headers"] if item[0] not in dropped]
    return body


def replay(body: bytes | bytearray, receive: Receive) -> Receive:
    """An ASGI `receive` that gives `body` in one message, and then what follows it: a disconnect."""
    given = False

    async def once_then_receive() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once_then_receive
