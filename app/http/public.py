"""The paths that need no token: answered from memory, without a thread, the database or the broker.

Anybody may ask for them as often as they like, so they take nothing from those who have a token.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from app.errors import NotFound, ServiceError
from app.http.auth import GUIDE
from app.http.problems import Headers, problem

Answer = tuple[int, Headers, bytes]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True)
class Page:
    """A file in memory, with its headers; `etag` is in quotes."""

    body: bytes
    headers: Headers
    etag: bytes

    @classmethod
    def of(cls, body: bytes, content_type: str, headers: Mapping[str, str]) -> Page:
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        return cls(body, [(b"content-type", content_type.encode()), *fields, (b"etag", etag)], etag)

    @cached_property
    def packed(self) -> Page:
        """The same with gzip. It is other bytes, so it has another tag."""
        etag = self.etag[:-1] + b'-gzip"'
        headers = [(name, etag if name == b"etag" else value) for name, value in self.headers]
        body = gzip.compress(self.body, 6, mtime=0)
        return Page(body, [*headers, (b"content-encoding", b"gzip")], etag)


class PublicApp:
    """ASGI application of the paths that need no token: pages, OpenAPI document, health probes.

    Args:
        app: answers everything else.
        pages: by path.
        document: makes the OpenAPI document, once, in a thread.
        ready: the body of `/readyz`, or a ServiceError.
        guide: the page of a path below `/guide`, the path to ask for instead, or None; called in a thread.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        pages: Mapping[str, Page],
        document: Callable[[], bytes],
        ready: Callable[[], bytes],
        guide: Callable[[str], Page | str | None],
    ) -> None:
        self._app = app
        self._pages = pages
        self._make_document = document
        self._document: asyncio.Future[Page] | None = None
        self._ready = ready
        self._guide = guide

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path == "/healthz":
            answer: Answer = (200, [_JSON], b'{"status":"ok"}')
        elif path == "/readyz":
            answer = self._readiness(path)
        elif path == "/openapi.json":
            answer = _packed(await self._openapi(), scope)
        elif path in self._pages:
            answer = _packed(self._pages[path], scope)
        elif path == GUIDE or path.startswith(GUIDE + "/"):
            answer = await self._of_guide(path, scope)
        else:
            await self._app(scope, receive, send)
            return
        status, headers, body = answer
        if status != 304:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _readiness(self, path: str) -> Answer:
        try:
            return 200, [_JSON, (b"cache-control", b"no-store")], self._ready()
        except ServiceError as error:
            return problem(error, path)

    async def _of_guide(self, path: str, scope: Any) -> Answer:
        found = await asyncio.to_thread(self._guide, path)
        if found is None:
            return problem(NotFound("The guide has no such page."), path)
        if isinstance(found, Page):
            return _of_page(found, scope)
        return 308, [(b"location", quote(found).encode())], b""

    async def _openapi(self) -> Page:
        if self._document is None:
            self._document = asyncio.ensure_future(asyncio.to_thread(self._make_page))
        return await asyncio.shield(self._document)

    def _make_page(self) -> Page:
        return Page.of(self._make_document(), "application/json", {"Cache-Control": "no-cache"})


def _packed(page: Page, scope: Any) -> Answer:
    """The page, with gzip for who takes that: made when it is first asked for, in up to 50 ms, which no thread can
    be trusted with, as all may wait for the database."""
    taken = _header(scope, b"accept-encoding").replace(b" ", b"").split(b",")
    status, headers, body = _of_page(page.packed if b"gzip" in taken else page, scope)
    return status, [*headers, (b"vary", b"accept-encoding")], body


def _header(scope: Any, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _of_page(page: Page, scope: Any) -> Answer:
    known = _header(scope, b"if-none-match")
    if known and (known == b"*" or page.etag in [tag.strip().removeprefix(b"W/") for tag in known.split(b",")]):
        return 304, page.headers[1:], b""
    return 200, page.headers, page.body
