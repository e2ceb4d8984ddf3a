"""Whole files: a real data set, the digest, and memory that stays bounded."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.datasets.ingest import ingest
from app.datasets.limits import Limits
from app.datasets.table import NumberColumn, open_dataset
from app.errors import InvalidInput
from tests.datasets.ingested import ingested


def penguins() -> bytes:
    found = importlib.util.find_spec("palmerpenguins")  # finds it without importing pandas
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "data" / "penguins.csv").read_bytes()


def test_penguins_have_their_types_nulls_and_vocabularies() -> None:
    with ingested(penguins(), "penguins.csv") as (result, table):
        assert (result.rows, result.format) == (344, "csv")
        assert {info["name"]: (info["dtype"], info["nulls"], info["distinct"]) for info in result.columns} == {
            "species": ("string", 0, 3),
            "island": ("string", 0, 3),
            "bill_length_mm": ("float32", 2, 164),
            "bill_depth_mm": ("float32", 2, 80),
            "flipper_length_mm": ("int64", 2, 55),
            "body_mass_g": ("int64", 2, 94),
            "sex": ("string", 11, 2),
            "year": ("int64", 0, 3),
        }
        # 152 Adelie, 124 Gentoo, 68 Chinstrap
        assert table.info("species")["vocabulary"] == ["Adelie", "Gentoo", "Chinstrap"]
        assert table.info("body_mass_g")["mean"] == pytest.approx(4201.754, abs=0.001)
        assert table.preview(4)[3] == {
            "species": "Adelie", "island": "Torgersen", "bill_length_mm": None, "bill_depth_mm": None,
            "flipper_length_mm": None, "body_mass_g": None, "sex": None, "year": 2007,
        }  # fmt: skip
        parts = [table.split_mask(0.2, part, slice(None)) for part in ("holdout", "train")]
        assert sum(part.sum() for part in parts) == 344


def test_digest_is_that_of_content_and_schema() -> None:
    data = b"a,b\n1,x\n2,\n"
    with ingested(data, "one.csv") as (first, _):
        assert first.digest.startswith("sha256:")
        assert len(first.digest) == 7 + 64
    for same in (b'a,b\r\n1,"x"\r\n2,NA', b"\xef\xbb\xbf" + data):
        with ingested(same, "two.csv") as (second, _):
            assert second.digest == first.digest
    for other in (b"a,b\n1,x\n3,\n", b"a,b\n2,\n1,x\n", b"a,c\n1,x\n2,\n", data + data[4:]):
        with ingested(other, "one.csv") as (second, _):
            assert second.digest != first.digest
    with ingested(data, "one.csv", {"columns": {"a": {"dtype": "float32"}}}) as (second, _):
        assert second.digest != first.digest


def test_same_rows_in_another_format_are_the_same_data_set() -> None:
    with (
        ingested(b"a,b\n1,x\n2.5,\n", "x.csv") as (first, _),
        ingested(b'{"a": 1, "b": "x"}\n{"a": 2.5}\n', "x.jsonl") as (second, _),
    ):
        assert first.digest == second.digest
        assert first.columns == second.columns


def test_failed_ingest_leaves_no_finished_data_set(tmp_path: Path) -> None:
    bad = tmp_path / "x.csv"
    bad.write_bytes(b"a,b\n" + b"1,2\n" * 100_000 + b"1,1e99\n")
    directory = tmp_path / "stored"
    directory.mkdir()
    with bad.open("rb") as file, pytest.raises(InvalidInput, match="Line 100002, column 'b'"):
        ingest(file, bad.name, directory, Limits())
    assert not (directory / "meta.json").exists()


def test_column_of_nulls_is_float32(tmp_path: Path) -> None:
    with ingested(b"a,b\n,1\nNA,2\n", "x.csv") as (result, table):
        info = result.columns[0]
        assert (info["dtype"], info["nulls"], info["mean"], info["distinct"]) == ("float32", 2, None, 0)
        column = table.column("a")
        assert isinstance(column, NumberColumn)
        assert column.nulls is not None
        assert column.nulls.tolist() == [1, 1]


_MEASURE = """
import json, resource, sys
from pathlib import Path
from app.datasets.ingest import ingest
from app.datasets.limits import Limits

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

with open("small.csv", "rb") as file:  # imports and pools are warm then: what is measured is the data
    Path("small").mkdir()
    ingest(file, "small.csv", Path("small"), Limits())
idle = peak()
with open("large.csv", "rb") as file:
    Path("large").mkdir()
    result = ingest(file, "large.csv", Path("large"), Limits())
print(json.dumps({"grown": peak() - idle, "rows": result.rows, "bytes": result.bytes}))
"""


def test_two_hundred_megabytes_are_stored_in_bounded_memory(tmp_path: Path) -> None:
    header = b"f0,f1,f2,f3,i0,i1,word,id\n"

    def block(number: int) -> bytes:
        # A new id in every row: the dictionary overflows, the column is stored plain.
        return b"".join(
            b"%d.25,0.%06d,-3.5e-2,12345.678,%d,%d,word%d,user-%09d\n"
            % (row, row, row % 1000, row * 7, row % 5, number * 20_000 + row)
            for row in range(20_000)
        )

    (tmp_path / "small.csv").write_bytes(header + block(0)[:1000].rsplit(b"\n", 1)[0])
    rows = 0
    with (tmp_path / "large.csv").open("wb") as file:
        file.write(header)
        while file.tell() < 200_000_000:
            file.write(block(rows // 20_000))
            rows += 20_000
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    measured = json.loads(run.stdout)
    assert measured["rows"] == rows
    assert measured["grown"] < 400 * 2**20, f"{measured['grown'] / 2**20:.0f} MiB more than idle"
    table = open_dataset(tmp_path / "large")
    assert table.info("id")["distinct"] is None
    assert table.preview(1)[0]["id"] == "user-000000000"
    assert table.info("word")["distinct"] == 5
