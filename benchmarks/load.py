"""Load on the jobs' side of the service: a burst of submits, a long history, many watchers.

    scripts/bench load [--database sqlite|postgresql] [--submits 10000] [--jobs 100000] [--watchers 200]
                       [--only burst] [--json FILE]

Rates are also given as ratios to what the same database does bare. Exits 1 when a bar is missed: a submit that is lost
or refused without `Retry-After`, fewer stored than the default queue cap, a query that reads a whole table or grows
with the history, watchers that cost a tenth of a core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from app.config import Settings
from app.registry.db import Database, make_engine, migrate
from benchmarks.load_systems import curve as history
from benchmarks.load_systems.api import Api, database
from benchmarks.load_systems.burst import burst
from benchmarks.load_systems.watchers import watch

FLAT = 4.0
"""A cost at the longest history over that at the shortest; a scan would be a hundred."""
WATCHERS_CORE = 0.1


PARTS = ("watchers", "burst", "history")


def measure(kind: str, parts: list[str], submits: int, jobs: int, watchers: int, directory: Path) -> dict[str, Any]:
    """The parts that were asked for, on new databases."""
    result: dict[str, Any] = {"database": kind}
    if {"watchers", "burst"} & set(parts):
        with database(kind) as url:
            api = Api(directory / "burst", url)
            opened = Database(make_engine(Settings(data_dir=directory / "burst", database_url=url)))
            try:
                if "watchers" in parts:
                    result["watchers"] = watch(api, opened, watchers, 15.0)
                if "burst" in parts:
                    result["burst"] = burst(api, opened.engine, submits)
            finally:
                opened.close()
                api.stop()
    if "history" in parts:
        with database(kind) as url:
            opened = Database(make_engine(Settings(data_dir=directory / "history", database_url=url)))
            migrate(opened.engine)
            result["history"] = history.curve(opened, [jobs // 100, jobs // 10, jobs])
            opened.close()
    return result


def misses(result: dict[str, Any]) -> list[str]:
    """The bars that were missed, in words."""
    return (
        (_burst_misses(result["burst"]) if "burst" in result else [])
        + (_history_misses(result["history"]) if "history" in result else [])
        + (_watchers_misses(result["watchers"]) if "watchers" in result else [])
    )


def _burst_misses(sent: dict[str, Any]) -> list[str]:
    cap = int(Settings.model_fields["max_queued_jobs"].default)
    found = []
    if sent["lost"] or sent["stored_untold"] or sent["429_without_retry_after"]:
        found.append(f"burst: {sent}")
    if set(sent["answers"]) - {"202", "429"}:
        found.append(f"burst was answered {sent['answers']}")
    if sent["answers"].get("202", 0) < min(cap, sent["submits"]):
        found.append(f"burst stored fewer than {cap}")
    return found


def _history_misses(told: dict[str, Any]) -> list[str]:
    found = []
    for name, plan in told["plans"].items():
        if plan["full_scans"]:
            found.append(f"{name} reads a whole table: {plan['full_scans']}")
    for name, growth in history.flatness(told["points"]).items():
        if growth > FLAT:
            found.append(f"{name} grows {growth} times with the history")
    return found


def _watchers_misses(seen: dict[str, Any]) -> list[str]:
    return [f"watchers cost {seen['watchers_core']:.3f} of a core"] if seen["watchers_core"] >= WATCHERS_CORE else []


def show(result: dict[str, Any]) -> None:
    print(f"{result['database']}")
    if "burst" in result:
        sent = result["burst"]
        print(
            f"  burst: {sent['submits']} submits in {sent['seconds']:.1f} s, answers {sent['answers']}, "
            f"lost {sent['lost']}; "
            f"{sent['answers_per_s']:.0f}/s, bare transactions {sent['bare_transactions_per_s']:.0f}/s, "
            f"ratio {sent['ratio']:.2f}"
        )
    if "watchers" in result:
        seen = result["watchers"]
        print(
            f"  {seen['watchers']} watchers: {seen['watchers_core']:.3f} of a core "
            f"({seen['idle_core']:.3f} without), {seen['events_each']:.0f} events each in {seen['seconds']:.0f} s"
        )
    if "history" in result:
        _show_history(result["history"])


def _show_history(told: dict[str, Any]) -> None:
    points = told["points"]
    print("  jobs on record " + "".join(f"{point['jobs']:>12}" for point in points) + "   growth   (ms, times bare)")
    for name, growth in history.flatness(points).items():
        cells = "".join(f"{point['ms'][name]:>7.2f}{point['times_bare'][name]:>5.1f}" for point in points)
        print(f"  {name:<15}{cells}{growth:>9.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench load", description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--submits", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--only", choices=PARTS, action="append", help="that part, not all three; may come again")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = options.submits, options.jobs, options.watchers
    with tempfile.TemporaryDirectory(prefix="bench-load-") as directory:
        result = measure(options.database, options.only or list(PARTS), *sizes, Path(directory))
    result["missed"] = misses(result)
    show(result)
    for text in result["missed"]:
        print(f"MISSED {text}")
    if options.json:
        options.json.write_text(history.as_json(result) + "\n")
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
