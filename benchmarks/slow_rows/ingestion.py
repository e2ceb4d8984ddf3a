"""Files of CSV, JSON lines and TFRecord read into columns, each in a process of its own: MB per processor second."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.big_csv import HEADER, lines
from benchmarks.slow_row import Row, more_is_better

ROOT = Path(__file__).resolve().parents[2]
#: Ending of the file's name: megabytes per processor second that are wanted.
BARS = {"csv": 150.0, "jsonl": 80.0, "tfrecord": 60.0}
BLOCKS, REPEATS = 10, 3

_INGEST = """
import json, sys, time
from pathlib import Path
from app.datasets.ingest import ingest
from app.datasets.limits import Limits

def run(name, directory):
    Path(directory).mkdir()
    with open(name, "rb") as file:
        return ingest(file, name, Path(directory), Limits(max_bytes=10**12))

run("small." + sys.argv[1], "small")
begun, processor = time.perf_counter(), time.process_time()
result = run("large." + sys.argv[1], "large")
print(json.dumps([result.bytes / 1e6 / (time.process_time() - processor),
                  result.bytes / 1e6 / (time.perf_counter() - begun)]))
"""


def write(path: Path, blocks: int) -> None:
    """Writes blocks of 20,000 rows of numbers and words in the format that the name says."""
    content = b"".join(lines(number) for number in range(blocks))
    if path.suffix == ".csv":
        path.write_bytes(HEADER + content)
        return
    names = HEADER.decode().strip().split(",")
    rows = [dict(zip(names, row.split(","), strict=True)) for row in content.decode().splitlines()]
    numbers = [name for name in names if name[0] in "fi"]
    if path.suffix == ".jsonl":
        typed = ({name: float(value) if name in numbers else value for name, value in row.items()} for row in rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in typed))
        return
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            features = {
                name: tf.train.Feature(float_list=tf.train.FloatList(value=[float(value)]))
                if name in numbers
                else tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                for name, value in row.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def measure() -> list[Row]:
    rows = []
    for form, bar in BARS.items():
        rates = []
        with tempfile.TemporaryDirectory() as directory:
            made = Path(directory)
            write(made / f"small.{form}", 1)
            write(made / f"large.{form}", BLOCKS)
            for repeat in range(REPEATS):
                work = made / str(repeat)
                work.mkdir()
                for name in ("small", "large"):
                    (work / f"{name}.{form}").symlink_to(made / f"{name}.{form}")
                command = [sys.executable, "-c", _INGEST, form]
                environment = {"PYTHONPATH": str(ROOT)}
                done = subprocess.run(command, cwd=work, env=environment, stdout=subprocess.PIPE, check=True)
                by_processor, by_clock = json.loads(done.stdout)
                rates.append(by_processor)
                print(f"  {form}: {by_processor:.0f} MB per processor second, {by_clock:.0f} MB/s by the clock")
        rows.append(more_is_better(f"{form} into columns (MB per processor second)", statistics.median(rates), bar))
    return rows
