"""4 GB of numeric columns on disk, shuffled, with a warm page cache: an epoch's steps per processor second of a core,
against the same training with the columns in memory. The start is counted, for the first window is gathered then."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict

from benchmarks.engine_size import run
from benchmarks.slow_row import Row, more_is_better

COLUMNS, ROWS, BATCH = 100, 10**7, 128
STEPS = ROWS // BATCH
REPEATS = 2
BAR = 0.7


def measure() -> list[Row]:
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        common = {"system": "ours", "columns": COLUMNS, "rows": ROWS, "steps": STEPS, "data": directory}
        run("run_size.py", common | {"source": "disk", "steps": BATCH}, pin=True)  # writes the files
        for _ in range(REPEATS):
            for source in ("disk", "memory"):
                found = run("run_size.py", common | {"source": source}, pin=True)
                rate = STEPS / (found["set_up_cpu_s"] + STEPS / found["steps_per_cpu_s"])
                rates[source].append(rate)
                print(f"  {source}: {rate:,.0f}, first steps after {found['set_up_s']:.1f} s, ", end="")
                print(f"{found['above_mb']:.0f} MB beside the data")
    place = f"an epoch of {COLUMNS} columns x {ROWS:,} rows on disk, against memory (steps per processor second)"
    return [more_is_better(place, statistics.median(rates["disk"]), statistics.median(rates["memory"]), BAR)]
