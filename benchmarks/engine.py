"""The engine's speed: ours beside tf.estimator 2.15.1, Keras 3 `fit` and a hand-written loop, from one checkpoint.

    benchmarks/engine.py --all [--repeats 5] [--json FILE] [--peer-python PYTHON]
    benchmarks/engine.py w1 w3_gru --repeats 1        (`w1` stands for w1_columns, w1_rows and w1_cached)

Each measured process runs alone, pinned to one core; the systems take turns, so that a slow minute of the machine hits
all of them. A figure is the median over the repeats. Where the batches come unshuffled every system sees the same ones
in the same order, and the losses at the end must agree within 1e-3 relative, or the run exits 1. `--all` writes the
tables to docs/engine-speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SYSTEMS = HERE / "engine_systems"
sys.path.insert(0, str(SYSTEMS))
import environments  # noqa: E402
import ratios  # noqa: E402
from plan import ROWS  # noqa: E402

DOCUMENT = HERE.parent / "docs" / "engine-speed.md"
GROUPS = {"w1": ["w1_columns", "w1_rows", "w1_cached"]}
HEADING = """# Speed of the engine

Written by `scripts/bench engine --all`. Every process ran pinned to one core, systems in turn; figures are medians.
`per processor second` divides by the process's own processor time, which tells the work of a step where other
programs share the machine. A ratio says how many times better ours is, by the medians; `round by round` is the median
of the ratios of each round, whose runs are minutes apart at most. `limit` is a loop written by hand for the
workload, without hooks or checkpoints; its recurrent kernels are ours. `keras` runs with the fastest of three settings
in a short trial: one step an execution, 50 steps, 50 steps that XLA compiles (`setting` in `--json`). `start` is taken
without pandas in either environment.
"""


def environment(workload: str = "") -> dict[str, str]:
    """The environment variables of a measured process.

    Keras imports pandas when it is installed, which takes 0.3 s. Neither engine needs it, and only the service's
    environment has it, not the peer's: the time to the first step is taken without it on both sides.
    """
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHON"))}
    path = [HERE.parent, SYSTEMS, *([SYSTEMS / "without"] if workload == "start" else [])]
    return {**keep, "PYTHONPATH": ":".join(map(str, path)), "TF_CPP_MIN_LOG_LEVEL": "2"}


def measure(workload: str, system: str, python: str, start: str, core: int) -> dict[str, Any]:
    """Runs one process to its end. Raises RuntimeError with the end of its output when it fails."""
    row = ROWS[workload]
    with tempfile.TemporaryDirectory() as work:
        task = {"workload": workload, "steps": row.steps, "input": row.inputs[system], "start": start, "work": work}
        done = subprocess.run(
            [python, str(SYSTEMS / f"run_{system}.py"), json.dumps(task)],
            env=environment(workload),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise RuntimeError(f"{system} on {workload} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return {"workload": workload, "system": system, **json.loads(lines[-1].removeprefix("RESULT "))}


def start_of(workload: str, directory: Path) -> str:
    """The directory of the checkpoint that a workload's systems start from, made when it is not there."""
    kind = workload if workload == "w3_gru" else workload[:2] if workload[0] == "w" else "w1"
    start = directory / kind
    if not start.exists():
        make = [sys.executable, str(SYSTEMS / "make_start.py"), kind, str(start)]
        subprocess.run(make, env=environment(), check=True, capture_output=True)
    return str(start)


def run_all(workloads: list[str], repeats: int, pythons: dict[str, str | None]) -> list[dict[str, Any]]:
    """Every system of every workload, in turn, `repeats` times."""
    core = max(os.sched_getaffinity(0))
    results = []
    with tempfile.TemporaryDirectory() as starts:
        for repeat in range(repeats):
            for workload in workloads:
                start = start_of(workload, Path(starts))
                for system in ROWS[workload].inputs:
                    if python := pythons[system]:
                        results.append(measure(workload, system, python, start, core))
                        print(f"{repeat + 1}/{repeats} {json.dumps(results[-1])}", file=sys.stderr, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", choices=[*GROUPS, *ROWS, []], help="some of the table's rows")
    parser.add_argument("--all", action="store_true", help=f"all of them, and write {DOCUMENT.name}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--peer-python", help="a Python 3.9 to 3.11 for tf.estimator's environment")
    options = parser.parse_args()
    if not options.all and not options.workloads:
        parser.error("name workloads, or give --all")
    workloads = list(ROWS) if options.all else [w for name in options.workloads for w in GROUPS.get(name, [name])]

    peer = environments.estimator_python(options.peer_python)
    if peer is None:
        print("tf.estimator: absent (it needs a Python 3.9 to 3.11 on PATH, or --peer-python)", file=sys.stderr)
    results = run_all(
        workloads, options.repeats, {**dict.fromkeys(["ours", "keras", "limit"], sys.executable), "estimator": peer}
    )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    tables = [part(results, workloads) for part in (ratios.bars, ratios.memory, ratios.table)]
    text = "\n\n".join(tables) + "\n"
    print(text)
    if options.all:
        DOCUMENT.write_text(f"{HEADING}\n{options.repeats} repeats.\n\n{text}")
    if wrong := ratios.disagreements(results):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
