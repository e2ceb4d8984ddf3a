"""Training speed: our engine beside tf.estimator 2.15.1 and Keras 3 `fit`, in one run, from the same checkpoint.

    benchmarks/engine.py w1 [--repeats 3] [--json FILE] [--peer-python PYTHON]

Each measured process runs alone, pinned to one core; the systems take turns, so that a slow minute of the machine
hits all of them. A figure is the median over the repeats. Where the batches come unshuffled every system sees the
same ones in the same order, and the losses at the end must agree within 1e-3 relative, or the run exits 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from engine_systems import environments  # noqa: E402

AGREE = 1e-3
UNSHUFFLED = {"w1_rows", "w1_cached", "w1_hook"}


@dataclass(frozen=True)
class Run:
    workload: str
    system: str
    steps: int


W1 = [
    Run("w1_columns", "ours", 6000),
    Run("w1_rows", "estimator", 3000),
    Run("w1_rows", "ours", 3000),
    Run("w1_rows", "keras", 3000),
    Run("w1_cached", "estimator", 3000),
    Run("w1_cached", "ours", 3000),
    Run("w1_cached", "keras", 3000),
]
#: (workload of ours, workload of tf.estimator, the ratio that ours must reach)
W1_BARS = [("w1_columns", "w1_rows", 5.0), ("w1_columns", "w1_cached", 2.5)]


def environment() -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHON"))}
    return {**keep, "PYTHONPATH": f"{HERE.parent}:{HERE / 'engine_systems'}", "TF_CPP_MIN_LOG_LEVEL": "2"}


def measure(run: Run, python: str, start: str, core: int) -> dict[str, object]:
    """Runs one process to its end. Raises RuntimeError with the end of its output when it fails."""
    with tempfile.TemporaryDirectory() as work:
        task = json.dumps({"workload": run.workload, "steps": run.steps, "start": start, "work": work})
        script = str(HERE / "engine_systems" / f"run_{run.system}.py")
        done = subprocess.run(
            [python, script, task],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise RuntimeError(f"{run.system} on {run.workload} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return {"workload": run.workload, "system": run.system, **json.loads(lines[-1].removeprefix("RESULT "))}


def median(results: list[dict[str, object]], workload: str, system: str, field: str) -> float | None:
    values = [float(r[field]) for r in results if (r["workload"], r["system"]) == (workload, system)]  # type: ignore[arg-type]
    return statistics.median(values) if values else None


def table(results: list[dict[str, object]], runs: list[Run]) -> str:
    lines = [
        "| workload | system | steps/s | ratio to tf.estimator | loss at the end | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        speed = median(results, run.workload, run.system, "steps_per_s")
        if speed is None:
            lines.append(f"| {run.workload} | {run.system} | absent | | | |")
            continue
        peer = median(results, run.workload, "estimator", "steps_per_s")
        ratio = f"{speed / peer:.2f}" if peer else ""
        loss = median(results, run.workload, run.system, "loss_end")
        memory = median(results, run.workload, run.system, "peak_rss_mb")
        lines.append(f"| {run.workload} | {run.system} | {speed:,.0f} | {ratio} | {loss:.5f} | {memory:,.0f} |")
    return "\n".join(lines)


def disagreements(results: list[dict[str, object]]) -> list[str]:
    wrong = []
    for workload in sorted(UNSHUFFLED):
        losses = {r["system"]: float(r["loss_end"]) for r in results if r["workload"] == workload}  # type: ignore[arg-type]
        if losses and max(losses.values()) - min(losses.values()) > AGREE * min(losses.values()):
            wrong.append(f"{workload}: the losses at the end differ: {losses}")
    return wrong


def bars(results: list[dict[str, object]], wanted: list[tuple[str, str, float]]) -> list[str]:
    lines = []
    for ours, theirs, bar in wanted:
        a, b = median(results, ours, "ours", "steps_per_s"), median(results, theirs, "estimator", "steps_per_s")
        if a and b:
            verdict = "reached" if a / b >= bar else "NOT reached"
            lines.append(f"ours on {ours} / tf.estimator on {theirs}: {a / b:.2f} (bar {bar:g}, {verdict})")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=["w1"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--peer-python", help="a Python 3.9 to 3.11 for tf.estimator's environment")
    options = parser.parse_args()

    peer = environments.estimator_python(options.peer_python)
    if peer is None:
        print("tf.estimator: absent (it needs a Python 3.9 to 3.11 on PATH, or --peer-python)", file=sys.stderr)
    pythons = {"ours": sys.executable, "keras": sys.executable, "estimator": peer}
    core = max(os.sched_getaffinity(0))
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as start:
        make = [sys.executable, str(HERE / "engine_systems" / "make_start.py"), start]
        subprocess.run(make, env=environment(), check=True, capture_output=True)
        for repeat in range(options.repeats):
            for run in W1:
                if python := pythons[run.system]:
                    result = measure(run, python, start, core)
                    results.append(result)
                    print(f"{repeat + 1}/{options.repeats} {json.dumps(result)}", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    print(table(results, W1))
    print("\n".join(bars(results, W1_BARS)))
    if wrong := disagreements(results):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
