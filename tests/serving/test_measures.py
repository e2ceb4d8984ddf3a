"""What is counted, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from app.serving.metrics import ServingCollector, VersionMetrics


class FakeService:
    def __init__(self, metrics: VersionMetrics) -> None:
        self._measures = metrics

    def metrics(self) -> list[tuple[str, int, VersionMetrics]]:
        return [("m", 3, self._measures)]

    def gauges(self) -> list[tuple[str, str, float]]:
        return [("serving_queue_rows", "Instances that wait", 5.0)]


def test_numbers_of_a_version_are_shown_with_its_labels() -> None:
    metrics = VersionMetrics()
    metrics.answered(2, 0.003)  # falls between the bounds 0.0025 and 0.005
    metrics.answered(1, 20.0)  # above all bounds
    metrics.failed(422)
    metrics.ran(3, 400)
    registry = CollectorRegistry()
    registry.register(ServingCollector(FakeService(metrics)))
    text = generate_latest(registry).decode()
    version = 'model="m",version="3"'
    for line in (
        f"serving_requests_total{{{version}}} 2.0",
        f"serving_rows_total{{{version}}} 3.0",
        'serving_errors_total{model="m",status="422",version="3"} 1.0',
        f'serving_request_seconds_bucket{{le="0.0025",{version}}} 0.0',
        f'serving_request_seconds_bucket{{le="0.005",{version}}} 1.0',
        f'serving_request_seconds_bucket{{le="+Inf",{version}}} 2.0',
        f"serving_request_seconds_sum{{{version}}} 20.003",
        f'serving_batch_rows_bucket{{le="4",{version}}} 1.0',
        "serving_queue_rows 5.0",
    ):
        assert line in text
