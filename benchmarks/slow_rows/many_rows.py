"""Evaluation and batch prediction of many rows: rows per processor second of a core, against a loop written by hand."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict

from benchmarks.engine_size import run
from benchmarks.slow_row import Row, more_is_better

BAR = 0.8
ROWS, REPEATS = 10**6, 3
#: Once, to see that memory does not grow with rows: peaks of both systems are printed.
MANY_ROWS = 10**7
KINDS = {
    "evaluate": "evaluation",
    "predict": "batch prediction, arrays",
    "files": "batch prediction, JSON lines and Parquet written",
}


def measure() -> list[Row]:
    rows = []
    for kind, name in KINDS.items():
        rates: dict[str, list[float]] = defaultdict(list)
        for repeat in range(REPEATS + (kind != "files")):
            count = MANY_ROWS if repeat == REPEATS else ROWS
            for system in ("ours", "limit"):
                with tempfile.TemporaryDirectory() as directory:
                    job = {"kind": kind, "rows": count, "system": system, "data": directory}
                    found = run("run_rows.py", job, pin=True)
                rate, megabytes = found["rows_per_cpu_s"], found["above_mb"]
                print(f"  {name}, {count:,} rows, {system}: {rate:,.0f} rows/s, {megabytes:.0f} MB beside the data")
                if count == ROWS:
                    rates[system].append(rate)
        place = f"{name} of {ROWS:,} rows, against by hand (rows per processor second)"
        rows.append(more_is_better(place, statistics.median(rates["ours"]), statistics.median(rates["limit"]), BAR))
    return rows
