"""Requests counted by method, route and status, with their latencies. Cheap enough for the predict path; shown to
Prometheus when it asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Series:
    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS_S) + 1)
        self.total_s = 0.0


class Traffic:
    """A Prometheus collector. Written by the event loop only."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, int], _Series] = {}

    def add(self, method: str, route: str, status: int, took_s: float) -> None:
        """`route` is the template (`/v1/jobs/{job_id}`), never the path: its values would make endless series."""
        key = (method, route, status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.buckets[bisect_left(_BOUNDS_S, took_s)] += 1
        series.total_s += took_s

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("http_requests", "Requests answered.", labels=["method", "route", "status"])
        latency = HistogramMetricFamily("http_request_seconds", "Time to answer.", labels=["method", "route"])
        merged: dict[tuple[str, str], _Series] = {}
        for (method, route, status), series in list(self._series.items()):
            requests.add_metric([method, route, str(status)], sum(series.buckets))
            both = merged.setdefault((method, route), _Series())
            both.buckets = [a + b for a, b in zip(both.buckets, series.buckets, strict=True)]
            both.total_s += series.total_s
        for (method, route), series in merged.items():
            latency.add_metric([method, route], _cumulative(series.buckets), series.total_s)
        yield requests
        yield latency


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    shown, total = [], 0
    for bound, count in zip([*map(str, _BOUNDS_S), "+Inf"], buckets, strict=True):
        total += count
        shown.append((bound, float(total)))
    return shown
