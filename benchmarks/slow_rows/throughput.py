"""Small jobs, one after the other on each of two slots: how many a second, and what their time goes into."""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.slow_row import Row, more_is_better
from benchmarks.slow_rows.first_step import body, service, upload
from scripts.chaos_parts.service import Service

JOBS, STEPS, SLOTS = 200, 200, 2
A_SLOT = 2.0
_WARM = 4

PARTS = {
    "claim": ("claimed", "trainer_started"),
    "data open": ("trainer_started", "data_opened"),
    "estimator": ("data_opened", "estimator_built"),
    "trace, first step": ("estimator_built", "first_step"),
    "steps, checkpoints": ("first_step", "trained"),
    "evaluation, report": ("trained", "export_started"),
    "export": ("export_started", "exported"),
}
"""What lies between two of the times that a job notes."""


def measure() -> list[Row]:
    with service(WORKER_SLOTS=str(SLOTS)) as running:
        dataset = upload(running)
        _run(running, dataset, _WARM)  # each trainer has seen the specification
        begun, used = time.monotonic(), _cpu(running)
        jobs = _run(running, dataset, JOBS)
        seconds, after = time.monotonic() - begun, _cpu(running)
    _show(jobs, seconds)
    shares = {kind: (after[kind] - used.get(kind, 0.0)) / JOBS for kind in after}
    told = ", ".join(f"{kind} {share:.3f}" for kind, share in sorted(shares.items(), key=lambda one: -one[1]))
    print(f"  CPU seconds a job: {told}; together {sum(shares.values()):.3f}")
    place = f"jobs of {STEPS} steps with evaluation and export, a second and slot, {JOBS} on {SLOTS} slots"
    return [more_is_better(place, JOBS / seconds / SLOTS, A_SLOT)]


def _run(running: Service, dataset: str, count: int) -> list[dict[str, Any]]:
    """Submits jobs and waits for their ends; the jobs."""
    more = {"export": "final", "promote": None}
    sent = body(dataset, units=32, steps=STEPS, **more)
    sent["data"] = sent["data"] | {"holdout": 0.2}
    ids = [running.call("POST", "/v1/jobs", json=sent)["id"] for _ in range(count)]
    ended: dict[str, dict[str, Any]] = {}
    while len(ended) < count:
        time.sleep(0.1)
        # Workers take them in their order, so that few have to be asked for.
        for job in [one for one in ids if one not in ended][: 2 * SLOTS]:
            found = running.call("GET", f"/v1/jobs/{job}")
            if found["state"] in ("FAILED", "CANCELLED"):
                raise RuntimeError(str(found["error"]))
            if found["state"] == "SUCCEEDED":
                ended[job] = found
    return list(ended.values())


def _cpu(running: Service) -> dict[str, float]:
    """CPU seconds of each kind of process so far, those that have ended with their parents'."""
    used: dict[str, float] = {}
    for kind, process in running.family():
        times = process.cpu_times()
        used[kind] = used.get(kind, 0.0) + sum(times[:4])
    return used


def _show(jobs: list[dict[str, Any]], seconds: float) -> None:
    """The mean of each part; what is left of a slot's time goes into messages, claims and the registry."""
    each, shown = SLOTS * seconds / len(jobs), 0.0
    print(f"  {each:.3f} s of a slot for each job, of that:")
    for name, (begin, end) in PARTS.items():
        took = statistics.fmean(job["result"]["timings"][end] - job["result"]["timings"][begin] for job in jobs)
        shown += took
        print(f"    {name:<20} {took:.3f} s  {took / each:>4.0%}")
    print(f"    {'bookkeeping':<20} {each - shown:.3f} s  {1 - shown / each:>4.0%}")
