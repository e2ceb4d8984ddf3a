"""Uploads read by child processes, some of which do not survive."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.datasets import ingestor as ingestor_module
from app.datasets.ingest import ingest
from app.datasets.ingestor import Ingestor
from app.datasets.limits import Limits
from app.datasets.table import open_dataset
from app.errors import InvalidInput, Timeout, TooLarge, UnsupportedMedia
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def ingestor() -> Iterator[Ingestor]:
    made = Ingestor(memory_bytes=2**30)
    made.warm()
    yield made
    made.close()


def write(directory: Path, content: bytes) -> Path:
    path = directory / "upload"
    path.write_bytes(content)
    return path


def into(directory: Path, name: str = "made") -> Path:
    made = directory / name
    made.mkdir()
    return made


CSV = b"a,b\n1,x\n2,y\n3,\n"


def test_child_stores_what_ingest_stores(ingestor: Ingestor, tmp_path: Path) -> None:
    file = write(tmp_path, CSV)
    made = ingestor.ingest(file, "t.csv", into(tmp_path), Limits())
    with file.open("rb") as stream:
        here = ingest(stream, "t.csv", into(tmp_path, "here"), Limits())
    assert dataclasses.asdict(made) == dataclasses.asdict(here)
    assert open_dataset(tmp_path / "made").preview(3) == open_dataset(tmp_path / "here").preview(3)


def test_warm_child_takes_little_time(ingestor: Ingestor, tmp_path: Path) -> None:
    file = write(tmp_path, CSV)
    ingestor.ingest(file, "t.csv", into(tmp_path, "first"), Limits())
    times = []
    for number in range(5):
        began = time.perf_counter()
        ingestor.ingest(file, "t.csv", into(tmp_path, str(number)), Limits())
        times.append(time.perf_counter() - began)
    assert min(times) < 0.3  # measured: 0.02 s


@pytest.mark.parametrize(
    ("filename", "content", "limits", "error"),
    [
        ("t.csv", b'a,b\n1,2\n"open', Limits(), InvalidInput),
        ("t.csv", CSV, Limits(max_bytes=5), TooLarge),
        ("t.npy", CSV, Limits(), UnsupportedMedia),
    ],
)
def test_errors_come_back_as_they_are(
    ingestor: Ingestor, tmp_path: Path, filename: str, content: bytes, limits: Limits, error: type[Exception]
) -> None:
    file = write(tmp_path, content)
    with pytest.raises(error) as there:
        ingestor.ingest(file, filename, into(tmp_path), limits)
    with pytest.raises(error) as here, file.open("rb") as stream:
        ingest(stream, filename, into(tmp_path, "here"), limits)
    assert type(there.value) is type(here.value)
    assert str(there.value) == str(here.value)
    assert getattr(there.value, "errors", None) == getattr(here.value, "errors", None)


def test_missing_directory_is_an_error_of_the_system(ingestor: Ingestor, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ingestor.ingest(write(tmp_path, CSV), "t.csv", tmp_path / "nowhere", Limits())


def test_file_that_needs_too_much_memory_takes_down_nothing(tmp_path: Path) -> None:
    ingestor = Ingestor(memory_bytes=256_000_000)
    # One cell of 250 MB, a few kB in the file.
    table = pa.table({"big": pa.array([b"\0" * 250_000_000], pa.large_binary())})
    pq.write_table(table, tmp_path / "big", compression="zstd", use_dictionary=False, write_statistics=False)
    assert (tmp_path / "big").stat().st_size < 1_000_000
    try:
        with pytest.raises(InvalidInput, match="memory"):
            ingestor.ingest(tmp_path / "big", "t.parquet", into(tmp_path), Limits())
        made = ingestor.ingest(write(tmp_path, CSV), "t.csv", into(tmp_path, "next"), Limits())
        assert made.rows == 3
    finally:
        ingestor.close()


@pytest.mark.parametrize("end", ["os.abort()", "os._exit(3)", "print('{', end='', flush=True); os._exit(0)"])
def test_child_that_dies_of_a_file_is_an_invalid_input(tmp_path: Path, end: str) -> None:
    ingestor = Ingestor(command=[sys.executable, "-c", f"import os; input(); {end}"])
    with pytest.raises(InvalidInput, match="crash"):
        ingestor.ingest(write(tmp_path, CSV), "t.csv", into(tmp_path), Limits())
    ingestor.close()


def test_child_that_never_answers_is_ended(tmp_path: Path) -> None:
    ingestor = Ingestor(timeout_s=0.3, command=[sys.executable, "-c", "import time; input(); time.sleep(60)"])
    with pytest.raises(Timeout):
        ingestor.ingest(write(tmp_path, CSV), "t.csv", into(tmp_path), Limits())
    ingestor.close()


def test_directory_shows_signs_of_life_while_its_child_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestor_module, "_SIGN_EVERY_S", 0.05)
    ingestor = Ingestor(timeout_s=0.5, command=[sys.executable, "-c", "import time; input(); time.sleep(60)"])
    directory, long_ago = into(tmp_path), 1e9
    os.utime(directory, (long_ago, long_ago))
    with pytest.raises(Timeout):
        ingestor.ingest(write(tmp_path, CSV), "t.csv", directory, Limits())
    assert time.time() - directory.stat().st_mtime < 60
    ingestor.close()


def test_idle_child_that_died_is_replaced(ingestor: Ingestor, tmp_path: Path) -> None:
    file = write(tmp_path, CSV)
    ingestor.ingest(file, "t.csv", into(tmp_path), Limits())
    assert ingestor._idle is not None
    ingestor._idle.kill()
    ingestor._idle.wait()
    assert ingestor.ingest(file, "t.csv", into(tmp_path, "again"), Limits()).rows == 3


def test_child_that_no_upload_came_for_ends(tmp_path: Path) -> None:
    ingestor = Ingestor(memory_bytes=2**30, idle_s=0.05)
    try:
        ingestor.warm()
        wait_for(lambda: ingestor._idle is None)
        assert ingestor.ingest(write(tmp_path, CSV), "t.csv", into(tmp_path), Limits()).rows == 3
        wait_for(lambda: ingestor._idle is None)
    finally:
        ingestor.close()
