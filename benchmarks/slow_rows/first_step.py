"""First step of a small job after its POST, in a warm trainer: of a new specification, and of one seen before."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.slow_row import Row, less_is_better
from scripts.chaos_parts.service import ROOT, Service

PENGUINS = ROOT / "docs" / "tutorials" / "penguins.csv"
NEW_S, SEEN_S = 0.3, 0.15
_PAIRS = 7
STAGES = ("claimed", "trainer_started", "data_opened", "estimator_built", "first_step")


@contextmanager
def service(**settings: str) -> Iterator[Service]:
    """The service with one slot and its usual settings, in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-slow-") as directory:
        usual = {"DATABASE_URL": "", "REDIS_URL": "", "WORKER_SLOTS": "1", "LEASE_S": "30", "HEARTBEAT_S": "2"}
        running = Service(Path(directory), usual | settings)
        try:
            yield running
        finally:
            running.stop()


def upload(running: Service) -> str:
    """The penguins; the data set's id."""
    with PENGUINS.open("rb") as file:
        given = {"files": {"file": (PENGUINS.name, file)}, "data": {"name": "penguins"}}
        return str(running.call("POST", "/v1/datasets", **given)["id"])


def body(dataset: str, *, units: int, steps: int, **more: Any) -> dict[str, Any]:
    """A small network's training."""
    return {
        "type": "train",
        "model": "penguins",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [units, 16]}},
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "species", "batch_size": 32}},
        "train": {"max_steps": steps},
        "export": "none",
    } | more


def wait(running: Service, job: str, seconds: float = 120.0) -> dict[str, Any]:
    """The job once it has SUCCEEDED."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = running.call("GET", f"/v1/jobs/{job}")
        if found["state"] == "SUCCEEDED":
            return found
        if found["state"] in ("FAILED", "CANCELLED"):
            raise RuntimeError(str(found["error"]))
        time.sleep(0.02)
    raise RuntimeError(f"the job did not end within {seconds:.0f} s")


def measure() -> list[Row]:
    seen: dict[str, list[dict[str, float]]] = {"new": [], "seen": []}
    with service() as running:
        dataset = upload(running)

        def run(units: int) -> dict[str, float]:
            job = running.call("POST", "/v1/jobs", json=body(dataset, units=units, steps=20))
            return dict(wait(running, job["id"])["result"]["timings"])

        run(8)
        for pair in range(_PAIRS):
            seen["new"].append(run(32 + pair))
            seen["seen"].append(run(32 + pair))
    for kind, all_timings in seen.items():
        middle = {stage: statistics.median(timings[stage] for timings in all_timings) for stage in STAGES}
        print(f"  {kind:<5}" + "  ".join(f"{stage} {middle[stage]:.3f}" for stage in STAGES) + "  (s since the POST)")
    medians = {kind: statistics.median(t["first_step"] for t in timings) for kind, timings in seen.items()}
    return [
        less_is_better("first step after POST, warm trainer, new specification (s)", medians["new"], NEW_S),
        less_is_better("first step after POST, warm trainer, specification seen before (s)", medians["seen"], SEEN_S),
    ]
