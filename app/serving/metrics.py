"""Counters of each version, and their collector for Prometheus. Counting is a few integer additions per request."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from app.serving.notes import Warned

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
_LABELS = ("model", "version")
CLIENT_LEFT = 499
"""Stands for the status of a request whose caller left before it was answered. Of a version that is too slow for its
callers nothing else would tell."""


class Histogram:
    """Observations in fixed buckets."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        cumulated, result = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            cumulated += count
            result.append((bound, float(cumulated)))
        return result


class VersionMetrics:
    """One version's numbers since it was first known here.

    Attributes:
        errors: answers that are not 200, by status.
        warnings: unusual values that responses warned of, by kind.
        seconds: of whole requests, from body to answer; only good ones.
        run_seconds: of the model's calls.
        batch_rows: rows of the calls.
        engines: signatures that each computes ("tensorflow", "onnx").
    """

    def __init__(self) -> None:
        self.requests = 0
        self.rows = 0
        self.errors: dict[int, int] = {}
        self.warnings: dict[str, int] = {}
        self.seconds = Histogram(_SECONDS)
        self.run_seconds = Histogram(_SECONDS)
        self.batch_rows = Histogram(_ROWS)
        self.loads = 0
        self.engines: dict[str, int] = {}

    mirror: None = None
    """Copies are made of requests of divided labels only (`app.serving.split.Arm`)."""

    def answered(self, rows: int, seconds: float) -> None:
        self.requests += 1
        self.rows += rows
        self.seconds.add(seconds)

    def warned(self, warnings: Iterable[Warned] | None) -> None:
        for warning in warnings or ():
            self.warnings[warning.kind] = self.warnings.get(warning.kind, 0) + warning.count

    def failed(self, status: int) -> None:
        self.errors[status] = self.errors.get(status, 0) + 1

    def ran(self, rows: int, run_us: int) -> None:
        self.batch_rows.add(rows)
        self.run_seconds.add(run_us / 1e6)


class MetricsSource(Protocol):
    """What the collector reads of the service."""

    def metrics(self) -> Iterable[tuple[str, int, VersionMetrics]]:
        """(model, version, its numbers)"""

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        """(name, help, value) of the service as a whole"""


class ServingCollector:
    """For `prometheus_client`: `registry.register(ServingCollector(service))`."""

    def __init__(self, service: MetricsSource) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("serving_requests", "Predictions answered", labels=_LABELS)
        rows = CounterMetricFamily("serving_rows", "Instances answered", labels=_LABELS)
        errors = CounterMetricFamily("serving_errors", "Predictions refused", labels=(*_LABELS, "status"))
        warnings = CounterMetricFamily(
            "serving_warnings", "Unusual values that responses warned of", labels=(*_LABELS, "kind")
        )
        loads = CounterMetricFamily("serving_loads", "Times that a version was loaded", labels=_LABELS)
        seconds = HistogramMetricFamily("serving_request_seconds", "Time of a prediction", labels=_LABELS)
        runs = HistogramMetricFamily("serving_run_seconds", "Time of a call of the model", labels=_LABELS)
        batches = HistogramMetricFamily("serving_batch_rows", "Instances in a call of the model", labels=_LABELS)
        engines = GaugeMetricFamily(
            "serving_signatures", "Signatures that an engine computes", labels=(*_LABELS, "engine")
        )
        for model, number, metrics in self._service.metrics():
            labels = [model, str(number)]
            requests.add_metric(labels, metrics.requests)
            rows.add_metric(labels, metrics.rows)
            loads.add_metric(labels, metrics.loads)
            for engine, count in metrics.engines.items():
                engines.add_metric([*labels, engine], count)
            for status, count in metrics.errors.items():
                errors.add_metric([*labels, str(status)], count)
            for kind, count in metrics.warnings.items():
                warnings.add_metric([*labels, kind], count)
            seconds.add_metric(labels, metrics.seconds.buckets(), metrics.seconds.total)
            runs.add_metric(labels, metrics.run_seconds.buckets(), metrics.run_seconds.total)
            batches.add_metric(labels, metrics.batch_rows.buckets(), metrics.batch_rows.total)
        yield from (requests, rows, errors, warnings, loads, engines, seconds, runs, batches)
        for name, text, value in self._service.gauges():
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric([], value)
            yield gauge


def service_gauges(
    waiting: int, loaded: int, model_bytes: int, restarts: int, memory: int
) -> list[tuple[str, str, float]]:
    """What `MetricsSource.gauges` gives."""
    return [
        ("serving_queue_rows", "Instances that wait for a call", waiting),
        ("serving_versions_loaded", "Versions in memory", loaded),
        ("serving_model_bytes", "Memory counted for loaded versions", model_bytes),
        ("serving_predictor_restarts", "Predictor processes that were replaced", restarts),
        ("serving_predictor_memory_bytes", "Private memory of the predictor process", memory),
    ]
