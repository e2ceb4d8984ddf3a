"""Memory of the idle service with one slot: the proportional share (PSS) of each process, all of them together."""

from __future__ import annotations

import time

import psutil

from app.datasets.ingestor import IDLE_S
from benchmarks.slow_row import Row, less_is_better
from benchmarks.slow_rows.first_step import body, service, upload, wait
from scripts.chaos_parts.service import Service

MOST_MB = 700.0
_SETTLED_S = IDLE_S + 5.0


def measure() -> list[Row]:
    with service() as running:
        wait(running, running.call("POST", "/v1/jobs", json=body(upload(running), units=8, steps=20))["id"])
        # A process that was just forked or has just answered holds what it lets go a moment later.
        time.sleep(_SETTLED_S)
        processes = held(running)
    total = sum(megabytes for _, megabytes in processes)
    for name, megabytes in processes:
        print(f"  {name:<16} {megabytes:>6.0f} MB")
    return [less_is_better("idle service after a job, all processes, one slot (MB of PSS)", total, MOST_MB)]


def held(running: Service) -> list[tuple[str, float]]:
    """Name and PSS in MB of each process, the largest first."""
    supervisor = psutil.Process(running.process.pid)
    found = []
    for process in [supervisor, *supervisor.children(recursive=True)]:
        try:
            kinds = [kind for kind, one in running.family() if one.pid == process.pid]
            name = (
                kinds[0]
                if kinds and kinds[0] not in ("lane", "predictor", "fork-server", "trainer")
                else process.name()
            )
            found.append((name, process.memory_full_info().pss / 1e6))
        except psutil.Error:
            continue
    return sorted(found, key=lambda one: -one[1])
