"""Serving health from what is counted for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.api.serving_health import quantile, versions_in
from app.serving.metrics import ServingCollector, VersionMetrics
from tests.api.conftest import Api


class Counted:
    """A version with 100 requests of 3 ms and one of 40 ms, in two calls of 8 and 93 rows."""

    def metrics(self) -> Iterable[tuple[str, int, VersionMetrics]]:
        version = VersionMetrics()
        for _ in range(100):
            version.answered(1, 0.003)
        version.answered(1, 0.04)
        version.failed(422)
        version.ran(8, 100)
        version.ran(93, 100)
        return [("penguins", 2, version), ("penguins", 1, VersionMetrics())]

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        return [("serving_queue_rows", "Instances that wait", 3.0)]


def test_numbers_of_each_version_are_those_that_were_counted() -> None:
    registry = CollectorRegistry()
    registry.register(ServingCollector(Counted()))

    idle, busy = versions_in(generate_latest(registry).decode())

    assert (idle.version, idle.requests, idle.p50_s, idle.mean_batch_rows) == (1, 0, None, None)
    assert (busy.requests, busy.rows, busy.errors, busy.batches, busy.mean_batch_rows) == (
        101,
        101,
        {"422": 1},
        2,
        50.5,
    )
    # The 100 of 3 ms lie in the bucket from 2.5 to 5 ms: rank 50.5 of 101 → 2.5 + 2.5 * 50.5 / 100 ms.
    assert busy.p50_s == pytest.approx(0.0037625)
    # rank 99.99 of 101 → 2.5 + 2.5 * 99.99 / 100 ms
    assert busy.p99_s == pytest.approx(0.00499975)


def test_what_lies_above_all_bounds_is_told_as_the_last_one() -> None:
    assert quantile([(1.0, 0.0), (float("inf"), 4.0)], 0.5) == 1.0
    assert quantile([(1.0, 0.0), (float("inf"), 0.0)], 0.5) is None


def test_service_without_predictions_has_no_versions(shared_api: Api) -> None:
    assert shared_api.http.get("/v1/serving").json() == {"versions": []}
