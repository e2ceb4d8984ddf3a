"""Traces of requests, jobs and predictions, by OpenTelemetry: spans are sent to a collector by OTLP over HTTP.

Off unless `TRACES_URL` is set: nothing of OpenTelemetry is imported then. Whether something is traced is decided once,
where it comes in: by the caller's `traceparent`, else by chance (`TRACES_SHARE`). Whoever takes part later, in another
process, is given a `traceparent` or nothing.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.config import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_COMMON = {"method": "http.request.method", "path": "url.path", "status": "http.response.status_code"}
_SEND_WITHIN_S = 5.0
_FLUSH_WITHIN_MS = 2000

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """The `traceparent` of the request that is being answered; None when it is not traced."""
    return _current.get()


@contextmanager
def answering(traceparent: str) -> Iterator[None]:
    """A request is being answered."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


class Span:
    """A span that has begun; `end` it."""

    def __init__(self, span: Any) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """For those who take part in it."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def end(self, *, name: str | None = None, error: str | None = None, at: float | None = None, **facts: Any) -> None:
        """Ends it, now or at a host time in seconds since 1970.

        Args:
            error: what went wrong, for a person.
        """
        from opentelemetry.trace import Status, StatusCode

        if name is not None:
            self._span.update_name(name)
        self._span.set_attributes(_named(facts))
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end(None if at is None else int(at * 1e9))


class Tracing:
    """Makes and sends the spans of one process.

    Args:
        service: what the process is, as collectors show it.
    """

    def __init__(self, url: str, share: float, service: str) -> None:
        # Imported where nobody waits for it yet; threads and connections begin with the first span, after any fork.
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401

        self._url, self._share, self._service = url, share, service

    def wants(self, parent: str | None) -> bool:
        """Whether something that comes in now is traced: as its caller says, else by chance."""
        if parent is not None:
            return bool(int(parent[-2:], 16) & 1)
        return random.random() < self._share

    def begin(
        self, name: str, parent: str | None, *, at: float | None = None, server: bool = False, **facts: Any
    ) -> Span:
        """A span of the trace of `parent`, a `traceparent`; without one the first of a new trace.

        Args:
            at: host time of its begin, in seconds since 1970; now without it.
            server: it answers a request.
            facts: attributes.
        """
        from opentelemetry.trace import SpanKind

        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        start = None if at is None else int(at * 1e9)
        tracer = self._provider.get_tracer("estimator-service")
        return Span(tracer.start_span(name, _context(parent), kind, _named(facts), start_time=start))

    def predicted(self, parent: str, rows: int, queue_us: int, run_us: int) -> None:
        """Parts of a prediction that has just been computed: its wait for its batch, and the batch in the predictor."""
        end = time.time()
        begin = end - run_us / 1e6
        self.begin("wait for the batch", parent, at=begin - queue_us / 1e6).end(at=begin)
        self.begin("batch in the predictor", parent, at=begin, batch_rows=rows).end(at=end)

    def flush(self) -> None:
        """Sends what was collected, within two seconds. For processes that may be ended at any time afterwards."""
        if "_provider" in self.__dict__:
            self._provider.force_flush(_FLUSH_WITHIN_MS)

    @cached_property
    def _provider(self) -> TracerProvider:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        who: dict[str, str | int] = {
            "service.name": self._service,
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
        }
        provider = TracerProvider(ALWAYS_ON, Resource.create({**who}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(self._url, timeout=_SEND_WITHIN_S)))
        return provider


class Trace:
    """The trace that an attempt belongs to, for those who work on it; without arguments nothing is traced."""

    def __init__(self, tracing: Tracing | None = None, parent: str | None = None) -> None:
        self._tracing = tracing if parent is not None else None
        self._parent = parent

    @contextmanager
    def span(self, name: str, **facts: Any) -> Iterator[None]:
        """Around a part of the work."""
        if self._tracing is None:
            yield
            return
        span = self._tracing.begin(name, self._parent, **facts)
        try:
            yield
        except BaseException as error:
            span.end(error=type(error).__name__)
            raise
        span.end()


def make_tracing(settings: Settings, service: str) -> Tracing | None:
    """As the settings say; None: nothing is traced."""
    return Tracing(settings.traces_url, settings.traces_share, service) if settings.traces_url else None


def read(header: bytes | None) -> str | None:
    """The `traceparent` of a request's header; None when there is none or it is not of the form."""
    text = (header or b"").decode("latin-1").strip()
    return text if _FORM.fullmatch(text) else None


def _context(parent: str | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    none = Context()
    return none if parent is None else TraceContextTextMapPropagator().extract({"traceparent": parent}, context=none)


def _named(facts: dict[str, Any]) -> dict[str, Any]:
    """What all services have by its common name, what only this one has with a prefix; as attributes."""
    return {_COMMON.get(name, f"estimator.{name}"): value for name, value in facts.items() if value is not None}
