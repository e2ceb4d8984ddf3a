"""Spans of requests: an ASGI layer inside of admission, and the fast path that reads `traceparent` itself."""

from __future__ import annotations

import re
import time
from typing import Any

from app.errors import ServiceError
from app.http.auth import TokenInfo, is_public
from app.http.fast_predict import Exchange, FastPath
from app.http.partial_request import PartialRequest
from app.http.predict_app import ASGIApp, Message, Receive, Send
from app.http.problems import problem
from app.serving.verbs import is_prediction
from app.serving.version_queue import PredictionResult
from app.traces import Tracing, answering, read

_TRACE_HEADERS = re.compile(rb"\r\n(traceparent|tracestate):[ \t]*([^\r\n]*)", re.IGNORECASE)
_NAMES = frozenset({b"traceparent", b"tracestate"})


class TracedRequests:
    """One span for each traced request; requests that admission refuses do not come here."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        parent = read(dict(reversed(scope["headers"])).get(b"traceparent"))
        if not self._tracing.wants(parent):
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        span = self._tracing.begin(method, parent, server=True, method=method, path=path)
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._predicted(span.traceparent, dict(message["headers"]))
            await send(message)

        try:
            with answering(span.traceparent):
                await self._app(scope, receive, answer)
        except Exception as error:
            status = problem(error, path)[0]
            raise
        finally:
            fault = f"HTTP {status}" if status >= 500 else None
            span.end(name=_name(method, path, scope), error=fault, status=status)

    def _predicted(self, traceparent: str, headers: dict[bytes, bytes]) -> None:
        measured = [headers.get(name) for name in (b"x-batch-rows", b"x-queue-us", b"x-run-us")]
        rows, queue_us, run_us = (int(value) for value in measured if value is not None) if all(measured) else (0, 0, 0)
        if rows:
            self._tracing.predicted(traceparent, rows, queue_us, run_us)


def _name(method: str, path: str, scope: Any) -> str:
    """Of the span: without identifiers, so that spans of one kind have one name."""
    if is_prediction(path):
        return f"{method} :{path.rpartition(':')[2]}"
    route = getattr(scope.get("route"), "path", None)
    return f"{method} {route}" if route else str(method)


class TracedFastPath(FastPath):
    """The fast path where tracing is on. A `traceparent` is another one with each request, so heads are remembered
    without it."""

    def __init__(self, tracing: Tracing, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._tracing = tracing
        self._parent: str | None = None  # of the request that is being taken

    def take(self, connection: Any, data: bytes) -> Exchange | PartialRequest | None:
        end = data.find(b"\r\n\r\n")
        head = data[:end]
        given = {name.lower(): value for name, value in reversed(_TRACE_HEADERS.findall(head))}
        self._parent = read(given.get(b"traceparent"))
        return super().take(connection, _TRACE_HEADERS.sub(b"", head) + data[end:] if given else data)

    def remember(self, head: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        others = [(name, value) for name, value in headers if name not in _NAMES]
        super().remember(_TRACE_HEADERS.sub(b"", head), url, others)

    def _begin(self, connection: Any, path: str, token: TokenInfo) -> Exchange:
        if not self._tracing.wants(self._parent):
            return super()._begin(connection, path, token)
        return TracedExchange(self._tracing, self._parent, self, connection, path, token)


class TracedExchange(Exchange):
    """A prediction on the fast path that is traced. Its spans are made when it is answered."""

    __slots__ = ("_parent", "_tracing")

    def __init__(self, tracing: Tracing, parent: str | None, *given: Any) -> None:
        super().__init__(*given)
        self._tracing, self._parent = tracing, parent

    def set_result(self, result: PredictionResult) -> None:
        super().set_result(result)
        self._end(200, None, result)

    def set_exception(self, error: ServiceError) -> None:
        super().set_exception(error)
        self._end(problem(error, self._path)[0], error.detail)

    def _end(self, status: int, error: str | None, result: PredictionResult | None = None) -> None:
        begin = time.time() - (time.perf_counter() - self._started)
        facts = {"method": "POST", "path": self._path, "rows": self.rows}
        name = f"POST :{self._path.rpartition(':')[2]}"
        span = self._tracing.begin(name, self._parent, at=begin, server=True, **facts)
        if result is not None:
            self._tracing.predicted(span.traceparent, result.batch_rows, result.queue_us, result.run_us)
        span.end(error=error if status >= 500 else None, status=status)
