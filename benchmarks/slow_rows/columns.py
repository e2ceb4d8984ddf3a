"""Many numeric columns in memory, shuffled: steps per processor second of a core, against a loop written by hand."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict

from benchmarks.engine_size import run
from benchmarks.slow_row import Row, more_is_better

#: Columns, rows, steps, bar, and whether taking them over is measured too.
SIZES = ((100, 10**5, 4000, 0.9, False), (100, 10**6, 3000, 0.9, True), (1000, 10**5, 1200, 0.8, True))
REPEATS = 3


def measure() -> list[Row]:
    rows = []
    for columns, count, steps, bar, taken in SIZES:
        rates: dict[str, list[float]] = defaultdict(list)
        with tempfile.TemporaryDirectory() as directory:
            common = {"columns": columns, "rows": count, "steps": steps, "source": "memory", "data": directory}
            ways = {"": {"system": "ours"}, "limit": {"system": "limit"}}
            if taken:
                ways[", take_over"] = {"system": "ours", "take_over": True}
            for _ in range(REPEATS):
                for way, how in ways.items():
                    found = run("run_size.py", common | how, pin=True)
                    rates[way].append(found["steps_per_cpu_s"])
                    print(f"  {columns} x {count}{way}: {found['above_mb']:.0f} MB beside the data")
        limit = statistics.median(rates.pop("limit"))
        for way, values in rates.items():
            place = f"{columns:,} columns x {count:,} rows in memory{way}, against by hand (steps per processor second)"
            rows.append(more_is_better(place, statistics.median(values), limit, bar))
    return rows
