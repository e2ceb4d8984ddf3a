"""Requests counted by method, route and status, with their latencies. Cheap enough for the predict path; shown to
Prometheus when it asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from app.serving.metrics import Histogram

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Series:
    """Requests of one method, route and status."""

    __slots__ = ("count", "seconds")

    def __init__(self, seconds: Histogram) -> None:
        self.count = 0
        self.seconds = seconds  # of all statuses of the method and route

    def add(self, took_s: float) -> None:
        self.count += 1
        self.seconds.add(took_s)


class Traffic:
    """A Prometheus collector. Written by the event loop only."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, int], Series] = {}
        self._seconds: dict[tuple[str, str], Histogram] = {}

    def add(self, method: str, route: str, status: int, took_s: float) -> None:
        """`route` is the template (`/v1/jobs/{job_id}`), never the path: its values would make endless series."""
        self.series(method, route, status).add(took_s)

    def series(self, method: str, route: str, status: int) -> Series:
        """What `add` counts in; it is shown once something was counted."""
        key = (method, route, status)
        found = self._series.get(key)
        if found is None:
            seconds = self._seconds.setdefault(key[:2], Histogram(_BOUNDS_S))
            found = self._series[key] = Series(seconds)
        return found

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("http_requests", "Requests answered", labels=["method", "route", "status"])
        seconds = HistogramMetricFamily("http_request_seconds", "Time to answer", labels=["method", "route"])
        counted = {key: series for key, series in list(self._series.items()) if series.count}
        for (method, route, status), series in counted.items():
            requests.add_metric([method, route, str(status)], series.count)
        for method, route in dict.fromkeys(key[:2] for key in counted):
            histogram = self._seconds[method, route]
            seconds.add_metric([method, route], histogram.buckets(), histogram.total)
        yield requests
        yield seconds
