"""Dates and times become numbers, by the schema."""

import io

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from app.errors import InvalidInput
from tests.datasets.ingested import ingested, rows_of

# 2024-02-29 is a Thursday, the 60th day of its year, and 365 + 1 days before 2025-03-01 (366 days: Feb 29 to Mar 1).
SCHEMA = {
    "columns": {
        "t": {
            "timestamp": {
                "features": ["year", "quarter", "month", "day", "day_of_year", "weekday", "hour", "minute", "age"],
                "age_at": "2025-03-01",
            }
        }
    }
}
LEAP_DAY = {
    "t.year": 2024, "t.quarter": 1, "t.month": 2, "t.day": 29, "t.day_of_year": 60, "t.weekday": 4, "t.hour": 12,
    "t.minute": 30,
}  # fmt: skip


def as_parquet(array: pa.Array) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table({"t": array}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"t\n2024-02-29 12:30:00\n2024-02-29T12:30:00Z\nNA\n", "x.csv"),
        (b'{"t": "2024-02-29T12:30:00"}\n{"t": "2024-02-29 12:30:00"}\n{"t": null}\n', "x.jsonl"),
        (as_parquet(pa.array([1709209800, 1709209800, None], pa.timestamp("s"))), "x.parquet"),
        (as_parquet(pa.array([1709209800000, 1709209800000, None], pa.timestamp("ms", "Europe/Berlin"))), "x.parquet"),
    ],
)
def test_times_become_numbers(data: bytes, name: str) -> None:
    rows = rows_of(data, name, SCHEMA) if b"Z" not in data else rows_of(data.replace(b"Z", b""), name, SCHEMA)
    for row in rows[:2]:
        # From noon and a half: 366 - 12.5 / 24 days.
        assert row.pop("t.age") == pytest.approx(366 - 12.5 / 24)
        assert row == LEAP_DAY
    assert set(rows[2].values()) == {None}


def test_offsets_from_utc_are_taken() -> None:
    schema = {"columns": {"t": {"timestamp": ["hour"]}}}
    assert rows_of(b"t\n2024-02-29T12:30:00+02:00\n", "x.csv", schema) == [{"t.hour": 10}]


def test_format_is_taken() -> None:
    schema = {"columns": {"t": {"timestamp": {"format": "%d.%m.%Y", "features": ["month", "year"]}}}}
    assert rows_of(b"t,x\n31.12.2023,1\n,2\n", "x.csv", schema) == [
        {"t.month": 12, "t.year": 2023, "x": 1},
        {"t.month": None, "t.year": None, "x": 2},
    ]
    with pytest.raises(InvalidInput, match=r"Line 3, column 't': the cell is no date or time in the format %d\.%m\.%Y"):
        rows_of(b"t\n31.12.2023\n2023-12-31\n", "x.csv", schema)


def test_cell_that_is_no_time_is_told_with_its_line_and_the_remedy() -> None:
    with pytest.raises(InvalidInput, match=r"Line 3, column 't': the cell is no date or time in ISO 8601.*format"):
        rows_of(b"t\n2023-12-31\n31.12.2023\n", "x.csv", {"columns": {"t": {"timestamp": ["year"]}}})


def test_name_that_a_feature_would_take_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"Column 't' would become 't.year', which the file has too"):
        rows_of(b"t,t.year\n2023-12-31,1\n", "x.csv", {"columns": {"t": {"timestamp": ["year"]}}})


def test_dates_without_a_schema_are_told() -> None:
    with ingested(b"t,x\n2023-12-31,1\n2023-12-30,2\n", "x.csv") as (result, _):
        assert result.columns[0]["looks_like"] == "date"
        assert result.warnings[0].startswith("Column 't': dates as text")
    with pytest.raises(InvalidInput, match=r'by the schema: \{"timestamp"'):
        rows_of(as_parquet(pa.array([0], pa.timestamp("s"))), "x.parquet")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"a,b\ntrue,1\nFALSE,0\n", "x.csv"),
        (b'{"a": true, "b": 1}\n{"a": false, "b": 0}\n', "x.jsonl"),
    ],
)
def test_columns_of_booleans_are_known_as_such(data: bytes, name: str) -> None:
    with ingested(data, name) as (result, table):
        assert [info.get("boolean", False) for info in result.columns] == [True, False]
        assert table.preview(2) == [{"a": True, "b": 1}, {"a": False, "b": 0}]


def test_booleans_of_parquet_are_known_as_such() -> None:
    with ingested(as_parquet(pa.array([True, None, False])), "x.parquet") as (result, table):
        assert result.columns[0]["boolean"]
        assert table.preview(3) == [{"t": True}, {"t": None}, {"t": False}]
