"""Integers in CSV cells: every way of writing them, and what a column's type does to their digits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.datasets.readers.integer_cells import IntegerDigits, hexadecimal, leading_zero
from app.datasets.upload_schema import Spelling
from app.errors import InvalidInput
from tests.datasets.ingested import ingested, rows_of, types_of

#: Neither is a float32, and the second is no float64.
LARGE = (16777217, 9007199254740993)


def column(*cells: object) -> bytes:
    return b"a,b\n" + "".join(f"{cell},x\n" for cell in cells).encode()


@pytest.mark.parametrize(
    ("cell", "value"),
    [("+7", 7), (" +7 ", 7), ('"+7"', 7), (" 7", 7), ("7\t", 7), ("-0", 0), ("+0", 0), ("+9007199254740993", LARGE[1])],
)
def test_integer_is_one_however_it_is_written(cell: str, value: int) -> None:
    data = column(*LARGE, cell)

    assert types_of(data, "x.csv")["a"] == "int64"
    assert [row["a"] for row in rows_of(data, "x.csv")] == [*LARGE, value]


@pytest.mark.parametrize("cell", ["0x10", "0XFF", " 0x10", "0xFFFFFFFFFFFFFFFF", "++7", "+-7", "+007"])
def test_what_only_looks_like_an_integer_is_kept_as_text(cell: str) -> None:
    with ingested(column(*LARGE, cell), "x.csv") as (result, table):
        assert result.columns[0]["dtype"] == "string"
        assert [row["a"] for row in table.preview(3)] == [*map(str, LARGE), cell]
        assert any("Line 4, column 'a'" in warning for warning in result.warnings)


def test_hexadecimal_number_is_no_int64_of_a_schema() -> None:
    for number in ("0x10", " 0x10"):
        with pytest.raises(InvalidInput, match="Line 3, column 'a': the cell is not an integer"):
            rows_of(column(1, number), "x.csv", {"columns": {"a": {"dtype": "int64"}}})


@pytest.mark.parametrize("cell", ["1e3", "1.0", "7.", "0.5", "1e30", "NAN"])
def test_lost_digits_are_told(cell: str) -> None:
    with ingested(column(5, LARGE[0], cell), "x.csv") as (result, _):
        assert result.columns[0]["dtype"] == "float32"
        told = [warning for warning in result.warnings if "more digits than float32 keeps" in warning]
    assert [warning.partition(":")[0] for warning in told] == ["Line 3, column 'a'"]
    assert "a number on line 4 is not written as an integer" in told[0]


def test_lost_digits_are_told_where_the_fraction_comes_first_or_much_later() -> None:
    for cells in ([0.5, *[1] * 9, LARGE[1]], [LARGE[1], *[1] * 300_000, 0.5]):
        with ingested(column(*cells), "x.csv") as (result, _):
            assert [("float32 keeps" in warning) for warning in result.warnings if "'a'" in warning] == [True]


def test_whole_numbers_that_are_floats_for_how_they_are_written_are_told() -> None:
    with ingested(column(5, 6, "7.0"), "x.csv") as (result, _):
        assert "Line 4, column 'a': a number that is not written as an integer" in result.warnings[0]


@pytest.mark.parametrize(
    "cells", [["1.0", "2.0"], [1, 2.5], [2**24, 0.5], [-(2**60), 0.5], [3 * 2**40, 0.5], ["1e30", 0.5]]
)
def test_nothing_is_told_of_a_column_that_loses_nothing(cells: list[Any]) -> None:
    with ingested(column(*cells), "x.csv") as (result, _):
        assert result.columns[0]["dtype"] == "float32"
        assert not [warning for warning in result.warnings if "'a'" in warning and "written" in warning]


def test_the_ends_of_int64_are_integers_and_one_more_is_refused() -> None:
    assert rows_of(column(-(2**63), 2**63 - 1), "x.csv")[1]["a"] == 2**63 - 1
    for beyond in (2**63, -(2**63) - 1, 2**64 - 1, 10**40):
        for others in ((), (0.5,)):
            with pytest.raises(InvalidInput, match="Line 2, column 'a': an integer beyond int64"):
                rows_of(column(beyond, *others), "x.csv")


def test_integer_beyond_int64_is_seen_behind_its_thousands_separators() -> None:
    schema = {"columns": {"a": {"thousands": "_"}}}

    with pytest.raises(InvalidInput, match="Line 2, column 'a': an integer beyond int64"):
        rows_of(column("9_223_372_036_854_775_808"), "x.csv", schema)
    assert rows_of(column("+9_223_372_036_854_775_807"), "x.csv", schema)[0]["a"] == 2**63 - 1


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
@example(2**53 + 1)
@example(-(2**63))
@example(2**24 + 1)
def test_rounded_integers_are_those_that_float32_does_not_hold(number: int) -> None:
    with_floats, alone = IntegerDigits(Spelling()), IntegerDigits(Spelling())
    with_floats.add_floats(pa.array([str(number), "0.5"], pa.large_string()), pa.array([float(number), 0.5]), 3)
    alone.add_integers(pa.array([number]), 3)

    expected = None if int(float(pa.scalar(float(number)).cast(pa.float32()).as_py())) == number else 3
    assert with_floats.rounded == alone.rounded == expected
    assert with_floats.beyond is None


@settings(deadline=None)
@given(st.lists(st.none() | st.text("0179xX+- .\té", max_size=4), min_size=1))
def test_first_cells_of_a_kind_are_found(texts: list[str | None]) -> None:
    def first(good: Any) -> int | None:
        return next((row for row, text in enumerate(texts) if text is not None and good(text)), None)

    cells = pa.array(["before", *texts], pa.large_string()).slice(1)

    def zero(text: str) -> bool:
        number = text.strip(" \t")
        number = number[1:] if number[:1] in ("+", "-") else number
        return len(number) > 1 and number[0] == "0" and set(number) <= set("0179")

    assert leading_zero(cells) == first(zero)
    assert hexadecimal(cells) == first(lambda text: text[:2].lower() == "0x")
