"""Files of CSV, JSON lines and TFRecord read into columns, each in a process of its own: MB per processor second, and
what Arrow's parser alone reaches on the same file."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from app.datasets.ingestor import ENVIRONMENT
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

_ARROW_ALONE = """
import os, sys, time
import pyarrow as pa, pyarrow.csv, pyarrow.json

def parse(name):
    types = {name: pa.float64() for name in sys.argv[2].split(",")}
    if sys.argv[1] == "csv":
        blocks, options = pyarrow.csv.ReadOptions(block_size=2 << 20), pyarrow.csv.ConvertOptions(column_types=types)
        return sum(map(len, pyarrow.csv.open_csv(name, blocks, convert_options=options)))
    return len(pyarrow.json.read_json(name, pyarrow.json.ReadOptions(block_size=4 << 20)))

parse("small." + sys.argv[1])
processor = time.process_time()
parse("large." + sys.argv[1])
print(os.path.getsize("large." + sys.argv[1]) / 1e6 / (time.process_time() - processor))
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


def _run(script: str, directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    environment = {"PYTHONPATH": str(ROOT)} | ENVIRONMENT  # as of the service's readers
    return subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout


def measure() -> list[Row]:
    rows = []
    numbers = ",".join(name for name in HEADER.decode().strip().split(",") if name[0] in "fi")
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
                by_processor, by_clock = json.loads(_run(_INGEST, work, form))
                rates.append(by_processor)
                print(f"  {form}: {by_processor:.0f} MB per processor second, {by_clock:.0f} MB/s by the clock", end="")
                if form == "tfrecord":
                    print()
                    continue
                alone = float(_run(_ARROW_ALONE, work, form, numbers))
                print(f"; Arrow's parser alone: {alone:.0f} MB per processor second, ratio {by_processor / alone:.2f}")
        rows.append(more_is_better(f"{form} into columns (MB per processor second)", statistics.median(rates), bar))
    return rows
