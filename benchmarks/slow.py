"""The places where a user waits for this code, each with a bar: what it takes, against what, and is that reached.

    scripts/bench slow [--only NAME …] [--json FILE]

Each module of `benchmarks/slow_rows` is some rows and has a function `measure`, which prints what the time or the
memory goes into and returns the rows. The file gets `[{place, ours, against, ratio, bar, reached}]`. Exits 1 when a
bar is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.slow_row import Row  # noqa: E402

NAMES = sorted(path.stem for path in (ROOT / "benchmarks" / "slow_rows").glob("*.py"))


def measure(names: list[str]) -> list[Row]:
    """The rows of some modules, one after the other."""
    rows: list[Row] = []
    for name in names:
        print(f"{name}:", flush=True)
        rows += importlib.import_module(f"benchmarks.slow_rows.{name}").measure()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench slow", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=NAMES, action="append", help="those rows, not all; may come again")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = measure(options.only or NAMES)
    print(f"\n{'ours':>12} {'against':>12} {'ratio':>7} {'bar':>6}")
    for row in rows:
        print(row)
    if options.json:
        options.json.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
