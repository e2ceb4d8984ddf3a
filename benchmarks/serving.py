"""Prediction speed over HTTP: ours beside the peers, on the same SavedModel, in one run.

    benchmarks/serving.py [--seconds 10] [--repeats 3] [--systems ours,bentoml,…] [--models small,large] [--json FILE]

The server has one core and the load generator (wrk, Debian's package) another. The systems take turns in every cell,
the others stopped meanwhile. Before measuring, every answer is compared with a direct call of the signature. A figure
is the median over the repeats. Ratios to the bars are printed, and are in the file as `bars` of our own rows; exit 1
when an answer was wrong or a request failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "serving_systems"))
from servers import Server, need_wrk  # noqa: E402

SYSTEMS = ["ours", "plain_fastapi", "plain_fastapi_async", "bentoml", "uvicorn_constant"]
CELLS = {"small": [(1, 1), (32, 1), (128, 1), (32, 32)], "large": [(32, 1), (32, 32)]}
WARM_UP_S = 1.0
Cell = tuple[str, int, int]
#: (model, connections, rows) → least ratio of requests/s to that system
RATES: dict[str, dict[Cell, float]] = {
    "plain_fastapi": {
        ("small", 1, 1): 2.6, ("small", 32, 1): 17, ("small", 128, 1): 40, ("small", 32, 32): 13,
        ("large", 32, 1): 12, ("large", 32, 32): 5,
    },
    "bentoml": {("small", 1, 1): 3, ("small", 32, 1): 14, ("small", 128, 1): 21, ("small", 32, 32): 10},
    "uvicorn_constant": {("small", 32, 1): 0.33, ("small", 128, 1): 0.5},
}  # fmt: skip
#: largest ratio of p99 to the better plain FastAPI
TAILS: dict[Cell, float] = {
    ("small", 1, 1): 0.7, ("small", 32, 1): 1 / 8, ("small", 128, 1): 1 / 10, ("small", 32, 32): 1 / 4,
}  # fmt: skip
#: largest ratio of p50 to plain FastAPI's `def`: 0.25 ms on a machine where that has 0.65
MIDDLES: dict[Cell, float] = {("small", 1, 1): 0.25 / 0.65}


def measure(model: str, systems: list[str], exports: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Starts all systems and gives each its turn in each cell."""
    generator, *cores = sorted(os.sched_getaffinity(0))
    server_cores = {cores[-1]} if cores else {generator}
    servers: list[Server] = []
    results = []
    try:
        for system in systems:
            server = Server(system, model, exports, server_cores)
            servers.append(server)
            wrong = server.wrong_answers()
            print(f"{system} on {model}: {wrong} wrong answers", file=sys.stderr, flush=True)
            results += _turns_of(server, wrong) if wrong else []
            server.settle()
            server.pause()
        for connections, rows in CELLS[model]:
            for _ in range(options.repeats):
                for server in servers:
                    server.resume()
                    server.load(connections, rows, WARM_UP_S, generator)
                    load = server.load(connections, rows, options.seconds, generator)
                    result = {
                        "model": model, "system": server.system, "connections": connections, "rows": rows,
                        "requests_per_s": round(load.requests_per_s, 1), "p50_ms": load.p50_ms,
                        "p99_ms": load.p99_ms, "cpu_us": round(load.cpu_us, 2),
                        "rss_mb": round(server.rss_mb(), 1), "wrong": load.failed,
                    }  # fmt: skip
                    results.append(result)
                    print(json.dumps(result), file=sys.stderr, flush=True)
                    server.pause()
    finally:
        for server in servers:
            server.stop()
    return results


def _turns_of(server: Server, wrong: int) -> list[dict[str, Any]]:
    """A row for answers that were wrong before any load."""
    zero = {
        "connections": 0,
        "rows": 0,
        "requests_per_s": 0.0,
        "p50_ms": 0.0,
        "p99_ms": 0.0,
        "cpu_us": 0.0,
        "rss_mb": 0.0,
    }
    return [{"model": server.model, "system": server.system, **zero, "wrong": wrong}]


def medians(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a cell and system."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        key = tuple(result[name] for name in ("model", "system", "connections", "rows"))
        groups.setdefault(key, []).append(result)
    fields = ("requests_per_s", "p50_ms", "p99_ms", "cpu_us", "rss_mb")
    return [
        {
            **group[0],
            **{field: round(statistics.median(result[field] for result in group), 3) for field in fields},
            "wrong": sum(result["wrong"] for result in group),
        }
        for group in groups.values()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| model | system | connections | rows | requests/s | p50 ms | p99 ms | CPU µs | MB | wrong |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        names = f"| {row['model']} | {row['system']} | {row['connections']} | {row['rows']} "
        times = f"| {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['cpu_us']:.0f} "
        lines.append(f"{names}| {row['requests_per_s']:,.0f} {times}| {row['rss_mb']:,.0f} | {row['wrong']} |")
    return "\n".join(lines)


def add_bars(rows: list[dict[str, Any]]) -> None:
    """Gives each row of ours its `bars`: what is compared, with which system, the ratio, and what it should be."""
    found = {(row["system"], row["model"], row["connections"], row["rows"]): row for row in rows}
    for row in rows:
        if row["system"] != "ours":
            continue
        cell: Cell = (row["model"], row["connections"], row["rows"])
        bars = [("requests_per_s", [peer], bar[cell], True) for peer, bar in RATES.items() if cell in bar]
        if cell in TAILS:
            bars.append(("p99_ms", ["plain_fastapi", "plain_fastapi_async"], TAILS[cell], False))
        if cell in MIDDLES:
            bars.append(("p50_ms", ["plain_fastapi"], MIDDLES[cell], False))
        row["bars"] = [_compared(row, found, cell, *bar) for bar in bars]
        row["bars"] = [bar for bar in row["bars"] if bar]


def _compared(
    row: dict[str, Any],
    found: dict[Any, dict[str, Any]],
    cell: Cell,
    what: str,
    peers: list[str],
    bar: float,
    least: bool,
) -> dict[str, Any] | None:
    """A row's figure by that of the best of its peers; None without one."""
    known = [found[(peer, *cell)][what] for peer in peers if (peer, *cell) in found]
    theirs = [value for value in known if value]  # one that answered nothing has none
    best = max(theirs, default=0.0) if least else min(theirs, default=0.0)
    if not best:
        return None
    ratio = row[what] / best
    return {
        "what": what,
        "against": " or ".join(peers),
        "ratio": round(ratio, 3),
        "at_least" if least else "at_most": round(bar, 3),
        "reached": ratio >= bar if least else ratio <= bar,
    }


def verdicts(rows: list[dict[str, Any]]) -> str:
    lines = ["| model | connections | rows | what | against | ratio | wanted | |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        for bar in row.get("bars", ()):
            wanted = f"≥ {bar['at_least']:g}" if "at_least" in bar else f"≤ {bar['at_most']:g}"
            lines.append(
                f"| {row['model']} | {row['connections']} | {row['rows']} | {bar['what']} | {bar['against']} "
                f"| {bar['ratio']:g} | {wanted} | {'reached' if bar['reached'] else 'NOT reached'} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--models", default="small,large")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the medians here")
    options = parser.parse_args()
    need_wrk()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as exports:
        make = [sys.executable, str(HERE / "serving_systems" / "make_exports.py"), exports]
        subprocess.run(make, check=True, capture_output=True)
        for model in options.models.split(","):
            results += measure(model, options.systems.split(","), Path(exports), options)
    rows = medians(results)
    add_bars(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    print(table(rows))
    print(verdicts(rows))
    if any(row["wrong"] for row in rows):
        sys.exit("There were wrong or failed answers.")


if __name__ == "__main__":
    main()
