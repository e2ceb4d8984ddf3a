"""Numbers that a column of float32 does not hold are told, whatever the file's format."""

from __future__ import annotations

import decimal
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.datasets.ingested import ingested

LARGE = 2**24 + 1
"""The first integer that is no float32."""
#: More lines than are read with care, so that Arrow reads the last.
MANY = 9_000


def told(data: bytes, name: str, dtype: str | None = None) -> list[str]:
    """Where it is said of column "a"; one value at least is another one in the data set then."""
    with ingested(data, name, {"columns": {"a": {"dtype": dtype}}}) as (result, _):
        found = [warning for warning in result.warnings if "float32 keeps" in warning]
        assert all("'a'" in warning for warning in found)
        assert not found or result.columns[0]["dtype"] == "float32"
    return [warning.partition(":")[0] for warning in found]


def lines(*values: object) -> bytes:
    return "".join(f'{{"a": {json.dumps(value)}}}\n' for value in values).encode()


def parquet(values: pa.Array) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": values}), file, row_group_size=100)
    return file.getvalue()


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([1, LARGE, 0.5], ["Line 2, key 'a'"]),
        ([0.5, None, LARGE], ["Line 3, key 'a'"]),
        ([*[1] * MANY, LARGE, 0.5], [f"Line {MANY + 1}, key 'a'"]),
        ([0.5, *[1] * MANY, float(LARGE), LARGE + 2], [f"Line {MANY + 3}, key 'a'"]),
        ([[0.5, 1], *[[]] * MANY, [1], None, [1.0, LARGE]], [f"Line {MANY + 4}, key 'a'"]),
        ([1.0, *[None] * MANY, float(LARGE)], [f"Line {MANY + 2}, key 'a'"]),
        ([1, LARGE - 1, 2 * LARGE - 2, 0.5], []),
        ([0.5, *[1] * MANY, float(LARGE)], []),
        ([LARGE, 2**62 + 1, None], []),
    ],
)
def test_json_integers_that_a_fraction_rounds_are_told(values: list[object], places: list[str]) -> None:
    assert told(lines(*values), "x.jsonl") == places


@pytest.mark.parametrize(
    "line",
    [
        '{"a": 16777217}', '{"b": "x", "a":-16777217}', '{"a":16777217 ,"b":""}', '{"\\u0061":\t16777217}\r',
        '{"b": "16777219.0", "a": 123456789012345}',
    ],
)  # fmt: skip
def test_json_integer_is_found_however_it_stands(line: str) -> None:
    rows = b'{"a": 0.5, "b": "x"}\n' + b'{"a": 16777217.0, "b": "16777217"}\n' * MANY
    assert told(rows + line.encode() + b"\n", "x.jsonl") == [f"Line {MANY + 2}, key 'a'"]


def test_json_line_of_the_fraction_is_told() -> None:
    with ingested(lines(LARGE, *[1] * MANY, 0.5), "x.jsonl") as (result, _):
        assert f"a number (on line {MANY + 2}) is not written as an integer" in result.warnings[0]


@pytest.mark.parametrize(
    ("values", "places"),
    [
        (pa.array([1.0, None, float(LARGE)]), ["Row 3, column 'a'"]),
        (pa.array([float("nan"), *[1.0] * 500, float(LARGE)]), ["Row 502, column 'a'"]),
        (pa.array([[1.0], None, [2.0, float(LARGE)]]), ["Row 3, column 'a'"]),
        (pa.array([decimal.Decimal(LARGE)], pa.decimal128(20, 0)), ["Row 1, column 'a'"]),
        (pa.array([float(LARGE), *[1.0] * 500, 0.5]), []),
        (pa.array([float(LARGE - 1)]), []),
        (pa.array([LARGE, 2**62 + 1, None]), []),
    ],
)
def test_whole_numbers_of_a_parquet_file_that_are_rounded_are_told(values: pa.Array, places: list[str]) -> None:
    assert told(parquet(values), "x.parquet") == places


@pytest.mark.parametrize(
    ("cells", "places"),
    [
        (["1.0", f"{LARGE}.0"], ["Line 3, column 'a'"]),
        (["1", f"{LARGE}.0"], ["Line 3, column 'a'"]),
        (["0.5", f"{LARGE}.0"], []),
    ],
)
def test_whole_numbers_of_a_csv_file_that_are_rounded_are_told(cells: list[str], places: list[str]) -> None:
    assert told(("a\n" + "".join(f"{cell}\n" for cell in cells)).encode(), "x.csv") == places


def test_who_says_float32_is_told_nothing() -> None:
    assert told(lines(LARGE, 0.5), "x.jsonl", "float32") == []
    assert told(parquet(pa.array([LARGE])), "x.parquet", "float32") == []
