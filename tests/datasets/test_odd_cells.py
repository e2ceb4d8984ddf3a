"""One cell among truth values or lists that is none: told with its line and what to do, no column of text."""

import json
import re

import pytest

from tests.datasets.ingested import ingested, rows_of
from tests.datasets.test_stray_cells import refusal


def csv(cells: list[str]) -> bytes:
    quoted = (cell.replace('"', '""') for cell in cells)
    return ("seen,row\n" + "".join(f'"{cell}",{row}\n' for row, cell in enumerate(quoted))).encode()


@pytest.mark.parametrize("cell", ["-", "?", "unknown"])
def test_sign_for_no_value_among_truth_values_is_refused_and_the_remedy_works(cell: str) -> None:
    data = csv(["true", "False", cell, "TRUE"])
    detail = refusal(data)
    assert detail.startswith("Line 4, column 'seen': a cell that is none in a column of truth values (1 of 4 cells")
    match = re.search(r"(\{.*\}\})\. If the column is text", detail)
    assert match is not None, detail
    assert [row["seen"] for row in rows_of(data, "x.csv", json.loads(match[1]))] == [1, 0, None, 1]
    assert rows_of(data, "x.csv", {"columns": {"seen": {"dtype": "string"}}})[2]["seen"] == cell


def test_truth_values_may_be_written_in_more_ways_than_a_hundred() -> None:
    cells = [" " * blanks + "true" for blanks in range(150)]
    assert [row["seen"] for row in rows_of(csv(cells), "x.csv")] == [1] * 150


def test_word_among_truth_values_is_a_warning_with_its_line() -> None:
    with ingested(csv(["true", "false", "maybe", "true"]), "x.csv") as (made, _):
        warnings = made.warnings
    (told,) = [warning for warning in warnings if "truth values" in warning]
    assert told.startswith("Line 4, column 'seen': ")
    assert '{"null_values": ["maybe"]}' in told


def test_late_cell_is_told_too() -> None:
    cells = ["true", "false"] * 30_000
    cells[50_000] = "-"
    assert refusal(csv(cells)).startswith("Line 50002, column 'seen': ")


@pytest.mark.parametrize("cell", ["[1, 2", "1", "-", "[1,,2]"])
def test_cell_among_lists_is_refused(cell: str) -> None:
    data = csv(["[1, 2]", "[3]", "[]", cell])
    assert refusal(data).startswith("Line 5, column 'seen': a cell that is none in a column of lists (1 of 4 cells")
    assert rows_of(data, "x.csv", {"columns": {"seen": {"dtype": "string"}}})[3]["seen"] == cell


@pytest.mark.parametrize(
    "cells", [["a", "b", "true", "c"], ["[x]", "plain", "words", "here"], ["true story", "false", "so"]]
)
def test_text_stays_text_without_a_word(cells: list[str]) -> None:
    with ingested(csv(cells), "x.csv") as (made, _):
        assert not [warning for warning in made.warnings if "none in a column" in warning]
