"""Stores a large generated CSV file and says how fast that went and how much memory it took.

    python benchmarks/big_csv.py [--megabytes 5000] [--directory DIR] [--json FILE]

Ingestion runs in a process of its own; its peak resident memory is compared with that after a tiny file, when all
modules are loaded ("idle"). Exits 1 over the bound of 400 MiB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=5000)
    parser.add_argument("--directory", help="where the files go (twice the size is needed); default: a temporary one")
    parser.add_argument("--json", help="write the numbers there, too")
    options = parser.parse_args()
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
