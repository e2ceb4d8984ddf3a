"""From the upload of a CSV of 200 MB to the first step of a training on it, and what the time goes into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.big_csv import write_csv
from benchmarks.slow_row import Row, less_is_better
from benchmarks.slow_rows.first_step import service, wait
from scripts.chaos_parts.service import ROOT, Service

MEGABYTES = 200
MOST_TIMES = 2.0
"""Bar: so many times what reading the file into columns alone takes, in a process of its own."""

_READ = """
import json, sys, time
from pathlib import Path
from app.datasets.ingest import ingest
from app.datasets.limits import Limits
begun = time.perf_counter()
with open(sys.argv[1], "rb") as file:
    ingest(file, "large.csv", Path(sys.argv[2]), Limits(max_bytes=10**12))
print(json.dumps({"seconds": time.perf_counter() - begun, "cpu": time.process_time()}))
"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-slow-csv-") as directory, service() as running:
        path = Path(directory) / "large.csv"
        write_csv(path, MEGABYTES * 10**6)
        _train(running, _upload(running, path, "warm", most=100_000))
        alone = _read_alone(path, Path(directory) / "columns")
        used = _cpu(running)
        begun = time.perf_counter()
        dataset = _upload(running, path, "large")
        uploaded = time.perf_counter() - begun
        first_step, timings = _train(running, dataset)
        used = _cpu(running) - used
    total = uploaded + first_step
    print(f"  upload and reading into columns {uploaded:.1f} s, then to the first step {first_step:.1f} s")
    before, stages = 0.0, []
    for name in ("claimed", "data_opened", "estimator_built", "first_step"):
        stages.append(f"{name} {timings[name] - before:.2f}")
        before = timings[name]
    print(f"  of the latter: {', '.join(stages)}; all processes used {used:.1f} CPU seconds")
    print(f"  reading the file alone: {alone['seconds']:.1f} s, {alone['cpu']:.1f} CPU seconds")
    place = f"upload of a CSV of {MEGABYTES} MB to the first step (s), against reading it alone"
    return [less_is_better(place, total, MOST_TIMES * alone["seconds"])]


def _upload(running: Service, path: Path, name: str, most: int | None = None) -> str:
    with path.open("rb") as file:
        content = file if most is None else file.read(most).rpartition(b"\n")[0] + b"\n"
        given = {"files": {"file": (f"{name}.csv", content)}, "data": {"name": name}, "timeout": 600}
        return str(running.call("POST", "/v1/datasets", patience_s=0, **given)["id"])


def _train(running: Service, dataset: str) -> tuple[float, dict[str, float]]:
    """Seconds from the POST to the first step of a short training, and the times that it noted."""
    data = {"dataset": dataset, "label": "label", "batch_size": 128, "shuffle": True, "ignore": ["user"]}
    estimator = {"type": "DNNClassifier", "args": {"hidden_units": [16]}}
    sent = {"type": "train", "model": "large", "estimator": estimator, "columns": "auto", "export": "none"}
    sent |= {"data": {"train": data}, "train": {"max_steps": 20}}
    timings = wait(running, running.call("POST", "/v1/jobs", json=sent)["id"])["result"]["timings"]
    return timings["first_step"], timings


def _read_alone(path: Path, directory: Path) -> dict[str, float]:
    directory.mkdir()
    command = [sys.executable, "-c", _READ, str(path), str(directory)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(told)
    return found


def _cpu(running: Service) -> float:
    """CPU seconds of all processes, also of those that have ended: a large file's reader ends with its file."""
    times = [process.cpu_times() for process in psutil.Process(running.process.pid).children(recursive=True)]
    return sum(sum(each[:4]) for each in times)
