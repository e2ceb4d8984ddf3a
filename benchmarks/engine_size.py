"""Cost against size: columns and rows of a training, and megabytes of a checkpoint.

    benchmarks/engine_size.py [size] [checkpoint] [--repeats 3] [--json FILE] [--data DIR] [--write]

`size`: a DNNClassifier [64, 32] on 10 to 1,000 numeric columns of 10,000 to 10,000,000 shuffled rows, batch 128, beside
a loop written by hand that gathers from one matrix in memory. Where the data take more than a gigabyte they are memory
maps of files, as the service's data sets are. `checkpoint`: how long the training stands still for a save, with the
write in its own thread and in the background. Each process runs alone; a training pinned to one core, a save on all.
`--write` writes the tables to docs/engine-size.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SYSTEMS = HERE / "size_systems"
DOCUMENT = HERE.parent / "docs" / "engine-size.md"
MARK = "<!-- below this line: written by scripts/bench engine_size --write -->"

COLUMNS, ROWS = (10, 100, 1000), (10**4, 10**5, 10**6, 10**7)
#: Bigger data are left out: they are no other case, and take minutes to make.
MOST_BYTES, IN_MEMORY_BYTES = 4 * 10**9, 10**9
STEPS = {10: 8_000, 100: 5_000, 1000: 800}
#: Megabytes of a model: steps between two saves, enough for a write to end before the next.
MODELS = {1: 1000, 4: 1000, 16: 1500, 64: 2000, 200: 4000}
SAVES = 4

Json = dict[str, Any]


def run(program: str, task: Json, pin: bool) -> Json:
    """One process. Raises RuntimeError with the end of its output when it fails."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHON"))}
    path = f"{HERE.parent}:{HERE / 'engine_systems'}"
    core = {max(os.sched_getaffinity(0))}
    with tempfile.TemporaryDirectory() as work:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(SYSTEMS / program), json.dumps({**task, "work": work})],
            env={**keep, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=(lambda: os.sched_setaffinity(0, core)) if pin else None,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise RuntimeError(f"{program} {task} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    found = {**task, **json.loads(lines[-1].removeprefix("RESULT "))}
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def sizes(directory: str) -> Iterator[Json]:
    """The trainings to measure, ours and the hand-written loop's where its matrix fits."""
    for columns in COLUMNS:
        for rows in ROWS:
            size = columns * rows * 4
            if size > MOST_BYTES:
                continue
            source = "memory" if size < IN_MEMORY_BYTES else "disk"
            for system in ("ours", "limit") if source == "memory" else ("ours",):
                common = {"system": system, "columns": columns, "rows": rows, "source": source}
                yield {**common, "steps": STEPS[columns], "data": directory}


def measure_sizes(repeats: int, kept: Path | None) -> list[Json]:
    with tempfile.TemporaryDirectory() as temporary:
        tasks = list(sizes(str(kept or temporary)))
        return [run("run_size.py", task, pin=True) for _ in range(repeats) for task in tasks]


def measure_checkpoints(repeats: int) -> list[Json]:
    """Saves in the training thread and in the background in turn, and a run without any."""
    results = []
    for _ in range(repeats):
        for megabytes, every in MODELS.items():
            steps = every * SAVES
            for how, background, save_steps in (
                ("none", True, 10 * steps),
                ("in the thread", False, every),
                ("in the background", True, every),
            ):
                task = {"megabytes": megabytes, "background": background, "save_steps": save_steps, "steps": steps}
                results.append(run("run_stall.py", {**task, "how": how}, pin=False))
    return results


def median(results: list[Json], field: str, **which: Any) -> float | None:
    """Median of a field over the runs that agree with `which`."""
    values = [r[field] for r in results if all(r[key] == value for key, value in which.items())]
    return statistics.median(values) if values else None


def size_table(results: list[Json]) -> str:
    """Speed, time to the first step, and memory, a line per size."""
    lines = [
        "| columns | rows | data MB | held in | steps/s | by hand | ratio | until step 50, s "
        "| peak MB beside the data | by hand |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for columns in COLUMNS:
        for rows in ROWS:
            which = {"columns": columns, "rows": rows}
            ours = {f: median(results, f, system="ours", **which) for f in ("steps_per_s", "set_up_s", "above_mb")}
            hand = {f: median(results, f, system="limit", **which) for f in ("steps_per_s", "above_mb")}
            if ours["steps_per_s"] is None:
                continue
            source = next(r["source"] for r in results if (r["columns"], r["rows"]) == (columns, rows))
            by_hand = ["", "", ""]
            if hand["steps_per_s"] is not None:
                by_hand = [f"{hand['steps_per_s']:,.0f}", f"{ours['steps_per_s'] / hand['steps_per_s']:.2f}"]
                by_hand.append(f"{hand['above_mb']:,.0f}")
            lines.append(
                f"| {columns:,} | {rows:,} | {columns * rows * 4 / 1e6:,.1f} | {source} | {ours['steps_per_s']:,.0f} | "
                f"{by_hand[0]} | {by_hand[1]} | {ours['set_up_s']:.2f} | {ours['above_mb']:,.0f} | {by_hand[2]} |"
            )
    return "\n".join(lines)


def checkpoint_table(results: list[Json]) -> str:
    """The longest time between two steps, a line per size."""
    ways = ("none", "in the thread", "in the background")
    lines = ["| model MB | longest gap between steps, ms: no save | in the thread | in the background |"]
    lines.append("|---|---|---|---|")
    for megabytes in MODELS:
        gaps = [median(results, "longest_ms", megabytes=megabytes, how=how) for how in ways]
        lines.append(f"| {megabytes} | " + " | ".join(f"{gap:,.1f}" for gap in gaps) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["size", "checkpoint", []], help="both if none is named")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--data", type=Path, help="make the mapped files here (8 GB), and keep them")
    parser.add_argument("--write", action="store_true", help=f"renew the tables of {DOCUMENT.name}")
    options = parser.parse_args()
    parts = options.parts or ["size", "checkpoint"]
    results, texts = [], []
    if "size" in parts:
        found = measure_sizes(options.repeats, options.data)
        results += found
        texts.append(f"## Columns and rows\n\n{size_table(found)}\n")
    if "checkpoint" in parts:
        found = measure_checkpoints(options.repeats)
        results += found
        texts.append(f"## A checkpoint\n\n{checkpoint_table(found)}\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    text = f"{options.repeats} repeats; figures are medians.\n\n" + "\n".join(texts)
    print(text)
    if options.write:
        head = DOCUMENT.read_text().partition(MARK)[0]
        DOCUMENT.write_text(f"{head}{MARK}\n\n{text}")


if __name__ == "__main__":
    main()
