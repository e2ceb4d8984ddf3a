"""Requests counted by method, route and status, with their latencies. Cheap enough for the predict path; shown to
Prometheus when it asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from app.serving.metrics import Histogram

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Traffic:
    """A Prometheus collector. Written by the event loop only."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[tuple[str, str], Histogram] = {}

    def add(self, method: str, route: str, status: int, took_s: float) -> None:
        """`route` is the template (`/v1/jobs/{job_id}`), never the path: its values would make endless series."""
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        histogram = self._seconds.get(key[:2])
        if histogram is None:
            histogram = self._seconds[key[:2]] = Histogram(_BOUNDS_S)
        histogram.add(took_s)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("http_requests", "Requests answered", labels=["method", "route", "status"])
        seconds = HistogramMetricFamily("http_request_seconds", "Time to answer", labels=["method", "route"])
        for (method, route, status), count in list(self._requests.items()):
            requests.add_metric([method, route, str(status)], count)
        for labels, histogram in list(self._seconds.items()):
            seconds.add_metric(list(labels), histogram.buckets(), histogram.total)
        yield requests
        yield seconds
