"""Workloads of `scripts/bench engine` that have a bar of their own here: steps per processor second of a core."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks import engine
from benchmarks.slow_row import Row, less_is_better, more_is_better

REPEATS = 3
OURS, PEER, LIMIT = "ours", "estimator", "limit"
RUNS = (
    ("w1_hook", OURS),
    ("w1_hook_later", OURS),
    ("w1_hook", PEER),
    ("w3_gru", OURS),
    ("w3_gru", LIMIT),
    ("w2", OURS),
    ("w2_bf16", OURS),
    ("w4_columns", OURS),
    ("w4_columns", PEER),
)
#: Workload, what it is, system and workload that it is compared with, bar.
RATIOS = (
    ("w1_hook", "W1 with a hook that reads each loss, against tf.estimator", ("w1_hook", PEER), 2.3),
    ("w1_hook_later", "the same, its hook has values_later, against tf.estimator", ("w1_hook", PEER), 2.3),
    ("w3_gru", "W3 with GRU cells, against by hand", ("w3_gru", LIMIT), 1.0),
    ("w2_bf16", "W2 in bfloat16, against float32", ("w2", OURS), 1.0),
    ("w4_columns", "wide and deep, 26 categories and 13 numbers, against tf.estimator", ("w4_columns", PEER), 3.0),
)
_FEATURES = ("avx512f", "avx512_bf16", "amx_bf16")


def measure() -> list[Row]:
    peer = engine.environments.estimator_python(None)
    if peer is None:
        print("  tf.estimator: absent (it needs a Python 3.9 to 3.11 on PATH), and its rows with it")
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    megabytes: dict[tuple[str, str], list[float]] = defaultdict(list)
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-slow-") as starts:
        for _ in range(REPEATS):
            for workload, system in RUNS:
                if python := peer if system == PEER else sys.executable:
                    start = engine.start_of(workload, Path(starts))
                    found = engine.measure(workload, system, python, start, core)
                    rates[workload, system].append(found["steps_per_cpu_s"])
                    megabytes[workload, system].append(found["peak_rss_mb"] - found["import_mb"])
                    told = f"{rates[workload, system][-1]:,.0f} steps/s, {megabytes[workload, system][-1]:,.0f} MB"
                    print(f"  {workload}, {system}: {told} above the imports", flush=True)
    middle = {run: statistics.median(values) for run, values in rates.items()}
    rows = []
    for workload, place, against, bar in RATIOS:
        if against in middle:
            told = f" ({_features()})" if workload == "w2_bf16" else ""
            what = f"{place}{told} (steps per processor second)"
            rows.append(more_is_better(what, middle[workload, OURS], middle[against], bar))
    if ("w4_columns", PEER) in middle:
        ours, theirs = (statistics.median(megabytes["w4_columns", system]) for system in (OURS, PEER))
        rows.append(
            less_is_better("wide and deep, peak memory above the imports, against tf.estimator (MB)", ours, theirs)
        )
    return rows


def _features() -> str:
    """What the processor has for bfloat16, as /proc/cpuinfo says it."""
    file = Path("/proc/cpuinfo")
    words = set(file.read_text().split()) if file.exists() else set()
    return ", ".join(f"{name} {'yes' if name in words else 'no'}" for name in _FEATURES)
