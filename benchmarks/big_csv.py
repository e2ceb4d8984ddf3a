"""Stores a large generated CSV file, trains on it, and says how fast that went and how much memory it took.

    scripts/bench big_csv [--megabytes 5000] [--directory DIR] [--steps 2000] [--all-columns] [--json FILE]
    scripts/bench big_csv --ingest-only

The file is uploaded to a running service, which trains on it, and each process of the service is compared with itself
after a tiny upload and a tiny training. Resident memory is RSS as the system tells it, sampled ten times a second: it
counts pages of mapped files, though the system may take those back at any time; what is left without them is shown
apart. With --ingest-only the file is just read into columns, in a process of its own, whose peak is compared with that
after a tiny file, when all modules are loaded ("idle"). Exits 1 over 400 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from scripts.chaos_parts.service import Service  # noqa: E402

BOUND = 400 * 2**20
HEADER = b"f0,f1,f2,f3,f4,f5,i0,i1,word,user,label\n"

_INGEST = """
import json, resource, sys, time
from pathlib import Path
from app.datasets.ingest import ingest
from app.datasets.limits import Limits

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def run(name):
    Path(name).mkdir()
    with open(name + ".csv", "rb") as file:
        return ingest(file, name + ".csv", Path(name), Limits(max_bytes=10**12))

run("small")
idle, begun, cpu = peak(), time.perf_counter(), time.process_time()
result = run("large")
seconds = time.perf_counter() - begun
print(json.dumps({"rows": result.rows, "bytes": result.bytes, "seconds": seconds, "cpu_s": time.process_time() - cpu,
                  "mb_per_s": result.bytes / 1e6 / seconds, "idle_bytes": idle, "grown_bytes": peak() - idle}))
"""


def lines(number: int, rows: int = 20_000) -> bytes:
    """Block `number` of the file: six numbers that vary, two integers, a word of 50, an id of its own, a label."""
    first = number * rows
    return b"".join(
        b"%d.%03d,0.%06d,-%d.5e-2,%d.678,%d.25,%d,%d,%d,word%d,user-%09d,%s\n"
        % (row % 97, number % 1000, row, row % 1000, row * 3, row % 13, row % 7, row, row * number, row % 50,
           first + row, b"yes" if row % 3 else b"no")
        for row in range(rows)
    )  # fmt: skip


def write_csv(path: Path, size: int) -> None:
    """Writes a file of at least `size` bytes."""
    with path.open("wb") as file:
        file.write(HEADER)
        number = 0
        while file.tell() < size:
            file.write(lines(number))
            number += 1


def measure(directory: Path, megabytes: int) -> dict[str, float]:
    """Generates the file in `directory` and ingests it; the numbers of _INGEST."""
    (directory / "small.csv").write_bytes(HEADER + lines(0, 10))
    write_csv(directory / "large.csv", megabytes * 10**6)
    run = subprocess.run(
        [sys.executable, "-c", _INGEST],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    numbers: dict[str, float] = json.loads(run.stdout)
    return numbers


class Watch:
    """Samples the resident memory of a service's processes: the most of each kind, and the most without pages of
    mapped files."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.peak: dict[str, tuple[int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for kind, process in self._service.family():
                with contextlib.suppress(psutil.Error):
                    memory = process.memory_info()
                    most = self.peak.get(kind, (0, 0))
                    self.peak[kind] = max(most[0], memory.rss), max(most[1], memory.rss - memory.shared)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def upload_and_train(directory: Path, megabytes: int, steps: int, ignore: list[str]) -> dict[str, Any]:
    """The whole path; of each kind of process its idle and its highest resident memory, and the seconds taken."""
    (directory / "small.csv").write_bytes(HEADER + lines(0, 500))
    write_csv(directory / "large.csv", megabytes * 10**6)
    data_dir = directory / "service"
    data_dir.mkdir()
    service = Service(data_dir, {"DATABASE_URL": "", "REDIS_URL": "", "WORKER_SLOTS": "1", "LEASE_S": "30"})
    try:
        with Watch(service) as idle:
            train(service, upload(service, directory / "small.csv")["id"], 20, ["user"])
        with Watch(service) as busy:
            begun = time.perf_counter()
            dataset = upload(service, directory / "large.csv")
            uploaded = time.perf_counter()
            train(service, dataset["id"], steps, ignore)
            trained = time.perf_counter()
    except BaseException:
        print("".join(service.log.read_text(errors="replace").splitlines(keepends=True)[-20:]), file=sys.stderr)
        raise
    finally:
        service.stop()
    processes = {}
    for kind, (resident, own) in sorted(busy.peak.items()):
        before = idle.peak.get(kind, (resident, own))
        grown, grown_own = resident - before[0], own - before[1]
        processes[kind] = {"idle_bytes": before[0], "grown_bytes": grown, "grown_without_files_bytes": grown_own}
    took = {"upload_s": uploaded - begun, "train_s": trained - uploaded}
    return took | {"rows": dataset["rows"], "steps": steps, "megabytes": megabytes, "processes": processes}


def upload(service: Service, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        given = {"files": {"file": (path.name, file)}, "data": {"name": path.stem}, "timeout": 3600}
        return service.call("POST", "/v1/datasets", patience_s=0, **given)


def train(service: Service, dataset: str, steps: int, ignore: list[str]) -> None:
    """Trains on shuffled rows of the whole data set, and waits for the end."""
    data = {"dataset": dataset, "label": "label", "batch_size": 128, "shuffle": True, "ignore": ignore}
    body = {
        "type": "train",
        "model": "big",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [16]}},
        "columns": "auto",
        "data": {"train": data},
        "train": {"max_steps": steps, "seed": 1},
        "export": "none",
    }
    job = service.call("POST", "/v1/jobs", json=body)
    while job["state"] not in ("SUCCEEDED", "FAILED", "CANCELLED"):
        time.sleep(0.3)
        job = service.call("GET", f"/v1/jobs/{job['id']}")
    if job["state"] != "SUCCEEDED":
        raise RuntimeError(f"The training {job['state']}: {job['error']}")


def show_service(result: dict[str, Any], to: str | None) -> int:
    print(
        f"{result['megabytes']} MB, {result['rows']} rows: uploaded in {result['upload_s']:.1f} s, "
        f"{result['steps']} steps in {result['train_s']:.1f} s"
    )
    for kind, memory in result["processes"].items():
        print(
            f"  {kind:<10} {memory['grown_bytes'] / 2**20:6.0f} MiB above {memory['idle_bytes'] / 2**20:.0f} idle, "
            f"{memory['grown_without_files_bytes'] / 2**20:.0f} without pages of mapped files"
        )
    if to:
        Path(to).write_text(json.dumps(result), encoding="utf-8")
    return 0 if all(memory["grown_bytes"] <= BOUND for memory in result["processes"].values()) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=5000)
    parser.add_argument("--directory", help="where the files go (twice the size is needed); default: a temporary one")
    parser.add_argument("--json", help="write the numbers there, too")
    parser.add_argument("--ingest-only", action="store_true", help="no service: only read the file into columns")
    parser.add_argument("--all-columns", action="store_true", help="train on the column of row names too")
    parser.add_argument("--steps", type=int, default=2000, help="of the training")
    options = parser.parse_args()
    if not options.ingest_only:
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            ignore = [] if options.all_columns else ["user"]
            done = upload_and_train(Path(directory), options.megabytes, options.steps, ignore)
            return show_service(done, options.json)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        numbers = measure(Path(directory), options.megabytes)
    print(
        f"{numbers['bytes'] / 1e6:.0f} MB, {numbers['rows']:.0f} rows in {numbers['seconds']:.1f} s "
        f"({numbers['mb_per_s']:.0f} MB/s); memory {numbers['grown_bytes'] / 2**20:.0f} MiB above "
        f"{numbers['idle_bytes'] / 2**20:.0f} idle, {BOUND / 2**20:.0f} allowed"
    )
    if options.json:
        Path(options.json).write_text(json.dumps(numbers), encoding="utf-8")
    return 0 if numbers["grown_bytes"] <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
