"""Serving health: requests, errors, times and batches of each version, from what is counted for Prometheus."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter
from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field

from app.api.deps import AppStateDep
from app.api.schemas.view import View

router = APIRouter(tags=["operations"])

_SECONDS, _ROWS = "serving_request_seconds", "serving_batch_rows"


class VersionHealth(View):
    """What was counted of one version since the service started."""

    model: str
    version: int
    requests: int = Field(description="Predictions that were answered.")
    rows: int = Field(description="Instances that were answered.")
    errors: dict[str, int] = Field(description="Status → predictions that were refused with it.")
    p50_s: float | None = Field(description="Median time of a prediction, by interpolation between the buckets.")
    p99_s: float | None = Field(description="99th percentile of the same.")
    batches: int = Field(description="Calls of the model.")
    mean_batch_rows: float | None = Field(description="Instances of a call.")


class ServingHealth(View):
    versions: list[VersionHealth] = Field(description="By model and number; those that were asked or are in memory.")


@router.get("/v1/serving", operation_id="get_serving_health", summary="Requests, errors and times of each version")
async def get_serving_health(app_state: AppStateDep) -> ServingHealth:
    """Of all lanes of this host. `/metrics` has the same numbers and more, for Prometheus."""
    text = (await app_state.metrics.text()).decode()
    return ServingHealth(versions=await asyncio.to_thread(versions_in, text))


@dataclass
class _Counted:
    totals: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    errors: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[float, float] = field(default_factory=lambda: defaultdict(float))


def versions_in(text: str) -> list[VersionHealth]:
    """The versions of a text in Prometheus' format, lanes summed."""
    found: dict[tuple[str, int], _Counted] = defaultdict(_Counted)
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("serving_"):
            continue
        for name, labels, value, *_ in family.samples:
            if "model" not in labels or "version" not in labels:
                continue
            counted = found[labels["model"], int(labels["version"])]
            if name == "serving_errors_total":
                counted.errors[labels["status"]] += int(value)
            elif name == f"{_SECONDS}_bucket":
                counted.seconds[float(labels["le"])] += value
            elif "le" not in labels:
                counted.totals[name] += value
    return [_health(*place, counted) for place, counted in sorted(found.items())]


def _health(model: str, version: int, counted: _Counted) -> VersionHealth:
    buckets = sorted(counted.seconds.items())
    batches = counted.totals[f"{_ROWS}_count"]
    return VersionHealth(
        model=model,
        version=version,
        requests=int(counted.totals["serving_requests_total"]),
        rows=int(counted.totals["serving_rows_total"]),
        errors=dict(sorted(counted.errors.items())),
        p50_s=quantile(buckets, 0.5),
        p99_s=quantile(buckets, 0.99),
        batches=int(batches),
        mean_batch_rows=counted.totals[f"{_ROWS}_sum"] / batches if batches else None,
    )


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """A quantile of observations that were counted in buckets: (upper bound, how many are not above it), ascending.
    Linear between the bounds of its bucket; the last finite bound for what lies above. None of no observations."""
    if not buckets or not buckets[-1][1]:
        return None
    rank = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            return low if math.isinf(bound) else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low
