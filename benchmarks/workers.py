"""Two processes that train W2 together, a core each, against one process on one core and one on both.

    benchmarks/workers.py [--batches 256,2048,4096,8192] [--rounds 3] [--json FILE]

The global batch is the same for all. `half` is one process on one core with half of the batch: what a member does,
without the other. Arms take turns. A step's time is the best of some windows, for other programs of the machine only
ever add to it; `cpu` is processor time, of the busier process where there are two. Where two processes are less than
1.6 times as fast as one on one core, it is said where their time goes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "engine_systems")]

GOAL = 1.6
_WINDOWS = 6
#: arm → cores of each of its processes, and the share of the batch that each takes
ARMS = {
    "one core": ([[0]], 1.0),
    "two cores": ([[0, 1]], 1.0),
    "two processes": ([[0], [1]], 0.5),
    "half": ([[0]], 0.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="256,2048,4096,8192", help="rows of one step over all processes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--member", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.member:
        train(json.loads(options.member))
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("Two cores are needed, and this process may use one.")
    found = {}
    for batch in map(int, options.batches.split(",")):
        runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
        for _ in range(options.rounds):
            for arm in ARMS:
                runs[arm].append(measure(arm, batch, cores))
        found[batch] = report(batch, runs)
    if options.json:
        options.json.write_text(json.dumps({"load": os.getloadavg(), "batches": found}, indent=2) + "\n")


def measure(arm: str, batch: int, cores: list[int]) -> dict[str, float]:
    """One run of an arm: milliseconds of a step, by the clock and of the processor."""
    processes, share = ARMS[arm]
    with tempfile.TemporaryDirectory(prefix="workers-") as directory:
        addresses = [f"127.0.0.1:{port}" for port in free_ports(len(processes))]
        started = []
        for number, own in enumerate(processes):
            task = {"type": "worker", "index": number - 1} if number else {"type": "chief", "index": 0}
            cluster = {"chief": addresses[:1], "worker": addresses[1:]}
            said = {
                "cores": [cores[core] for core in own],
                "batch": int(batch * share),
                "every": max(2, 4096 // batch),
                "model_dir": f"{directory}/{number}",
                "tf_config": {"cluster": cluster, "task": task} if len(processes) > 1 else None,
            }
            command = [sys.executable, __file__, "--member", json.dumps(said)]
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        try:
            said_by = [json.loads(process.communicate(timeout=900)[0].splitlines()[-1]) for process in started]
        finally:
            for process in started:
                process.kill()  # a member of a cluster catches SIGTERM
    return {name: max(one[name] for one in said_by) for name in said_by[0]}


def free_ports(number: int) -> list[int]:
    from tests.ports import free_port

    return [free_port() for _ in range(number)]


def train(said: dict[str, Any]) -> None:
    """One process of an arm."""
    os.sched_setaffinity(0, said["cores"])  # before TensorFlow counts the cores
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if said["tf_config"]:
        os.environ["TF_CONFIG"] = json.dumps(said["tf_config"])
    import tf_estimator as est  # isort: split
    import tensorflow as tf
    import w2

    from tf_estimator.optimizer import Adagrad

    class Clock(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc,name-defined]
        """Reads both clocks at the end of each window."""

        def __init__(self) -> None:
            self.marks: dict[int, tuple[float, float]] = {}

        def next_step(self, step: int) -> int:
            self.due = (step // said["every"] + 1) * said["every"]
            return int(self.due)

        def after_run(self, run_context: object, run_values: object) -> None:
            self.marks[self.due] = time.perf_counter(), time.process_time()

    strategy = tf.distribute.MultiWorkerMirroredStrategy() if said["tf_config"] else None
    config = est.RunConfig(tf_random_seed=1, train_distribute=strategy, save_checkpoints_steps=10**9)
    model = w2.estimator(est, tf, model_dir=said["model_dir"], optimizer=Adagrad(0.001, 0.1), config=config)
    features, labels = w2.data()
    rows = est.inputs.columns_input_fn(features, labels, batch_size=said["batch"], shuffle=True, seed=1)
    clock = Clock()
    model.train(rows, max_steps=said["every"] * (_WINDOWS + 2), hooks=[clock])
    marks = [clock.marks[due] for due in sorted(clock.marks)][1:]  # the first window is a start
    pairs = list(itertools.pairwise(marks))
    wall = [(after[0] - before[0]) / said["every"] for before, after in pairs]
    processor = [(after[1] - before[1]) / said["every"] for before, after in pairs]
    sizes = [model.get_variable_value(name).size for name in model.get_variable_names()] if strategy is None else [0]
    found = {"best_ms": min(wall), "median_ms": statistics.median(wall), "cpu_ms": statistics.median(processor)}
    print(json.dumps({name: 1000 * seconds for name, seconds in found.items()} | {"values": sum(sizes)}), flush=True)


def report(batch: int, runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Prints the figures of one batch size; what `--json` has of them."""
    best = {arm: min(run["best_ms"] for run in found) for arm, found in runs.items()}
    cpu = {arm: statistics.median(run["cpu_ms"] for run in found) for arm, found in runs.items()}
    print(f"\nbatch {batch}, {len(runs['half'])} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"  {'arm':15} {'best ms':>9} {'median ms':>10} {'cpu ms':>9}")
    for arm, found in runs.items():
        median = statistics.median(run["median_ms"] for run in found)
        print(f"  {arm:15} {best[arm]:9.2f} {median:10.2f} {cpu[arm]:9.2f}")
    two = best["two processes"]
    ratios = {
        "two processes against one core": best["one core"] / two,
        "two processes against one process on two cores": best["two cores"] / two,
        "one process on two cores against one core": best["one core"] / best["two cores"],
        "two processes against one core, by processor time": cpu["one core"] / cpu["two processes"],
    }
    for name, ratio in ratios.items():
        print(f"  {name}: {ratio:.2f}")
    if ratios["two processes against one core"] < GOAL:
        print(f"  Where a step of the two goes ({two:.2f} ms; {GOAL} times needs {best['one core'] / GOAL:.2f} ms):")
        print(f"    {best['half']:.2f} ms  forward, backward and update for half of the batch")
        print(f"    {cpu['two processes'] - cpu['half']:.2f} ms  processor time that the sum costs each process")
        rest = two - best["half"] - (cpu["two processes"] - cpu["half"])
        print(f"    {rest:.2f} ms  waiting for the other, and for the processor")
    return {"best_ms": best, "cpu_ms": cpu, "ratios": ratios}


if __name__ == "__main__":
    main()
