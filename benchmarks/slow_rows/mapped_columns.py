"""4 GB of numeric columns on disk, shuffled, with a warm page cache: steps per processor second of a core, against the
same training with the columns in memory."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict

from benchmarks.engine_size import run
from benchmarks.slow_row import Row, more_is_better

COLUMNS, ROWS, STEPS = 100, 10**7, 16_000
REPEATS = 3
BAR = 0.7


def measure() -> list[Row]:
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        common = {"system": "ours", "columns": COLUMNS, "rows": ROWS, "steps": STEPS, "data": directory}
        run("run_size.py", common | {"source": "disk", "steps": 100}, pin=True)  # writes the files
        for _ in range(REPEATS):
            for source in ("disk", "memory"):
                found = run("run_size.py", common | {"source": source}, pin=True)
                rates[source].append(found["steps_per_cpu_s"])
                print(
                    f"  {source}: {found['steps_per_cpu_s']:,.0f} steps per processor second, "
                    f"{found['steps_per_s']:,.0f} by the clock, first step after {found['set_up_s']:.1f} s, "
                    f"{found['above_mb']:.0f} MB beside the data"
                )
    place = f"{COLUMNS} columns x {ROWS:,} rows on disk, shuffled, against memory (steps per processor second)"
    return [more_is_better(place, statistics.median(rates["disk"]), statistics.median(rates["memory"]), BAR)]
