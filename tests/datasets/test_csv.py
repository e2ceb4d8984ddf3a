"""CSV: the language that is read, types from all cells, and where a fault stands."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.datasets.limits import Limits
from app.errors import InvalidInput, TooLarge, UnsupportedMedia
from tests.datasets.ingested import ingested, rows_of, types_of


def test_quotes_line_ends_bom_and_blank_lines_are_read() -> None:
    data = b'\xef\xbb\xbfname,note\r\n"a, ""b""","two\nlines"\r\n\r\nx"y,z'
    assert rows_of(data, "x.csv") == [{"name": 'a, "b"', "note": "two\nlines"}, {"name": 'x"y', "note": "z"}]


def test_a_type_is_decided_by_the_whole_column() -> None:
    data = b'i,f,s,b,l,t\n1,1,1,true,[1],[1]\n-2,2,2,FALSE,"[2,3]",[1\n3,2.5,x,,[],b\n'
    assert types_of(data, "x.csv") == {
        "i": "int64", "f": "float32", "s": "string", "b": "int64", "l": "int64[]", "t": "string",
    }  # fmt: skip
    assert rows_of(data, "x.csv")[1] == {"i": -2, "f": 2.0, "s": "2", "b": 0, "l": [2, 3], "t": "[1"}


def test_every_spelling_of_null_is_null_quoted_or_not() -> None:
    data = b'n,s\n1,a\nNA,"NA"\n,""\nNaN,nan\nnull,NULL\nNone,None\nN/A,n/a\n'
    with ingested(data, "x.csv") as (result, _):
        assert [(info["dtype"], info["nulls"]) for info in result.columns] == [("int64", 6), ("string", 6)]


def test_blanks_around_numbers_do_not_make_them_text() -> None:
    assert rows_of(b"a, b\n 1, 2.5\n2 , NA\n", "x.csv") == [{"a": 1, "b": 2.5}, {"a": 2, "b": None}]


def test_formula_cells_are_kept_as_they_are() -> None:
    assert rows_of(b"a\n=1+1\n@SUM(A1)\n", "x.csv") == [{"a": "=1+1"}, {"a": "@SUM(A1)"}]


def test_type_found_late_holds_for_the_rows_before() -> None:
    rows = 400_000  # several blocks of the parser
    data = b"a,b\n" + b"7,1\n" * rows + b"0.5,x\n"
    with ingested(data, "x.csv") as (result, table):
        assert [info["dtype"] for info in result.columns] == ["float32", "string"]
        assert result.rows == table.rows == rows + 1
        assert table.info("b")["vocabulary"] == ["1", "x"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n", "has no rows"),
        (b"\n\n", "no header"),
        (b"a,a\n1,2\n", "Line 1, column 2: the name 'a' comes twice"),
        (b"\na,,c\n1,2,3\n", "Line 2, column 2: the header names no column"),
        (b'"a,b\n1,2\n', "a quote in the header is never closed"),
        (b"a;b\n1;2\n", "Line 1: one column only"),
        (b"a,b\n1,2\n\n3\n", "Line 4: 1 cells, but the header has 2"),
        (b'a,b\n"1\n",2\n3,4,5\n', "Line 4: 3 cells"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "Line 3, column 'b': the quote"),
        (b'a,b\n1,2\n"3,4', "Line 3, column 'a': the quote"),
        (b"a,b\n1,2\n3,\0\n", "Line 3, column 'b': a NUL"),
        (b"a\0,b\n1,2\n", "Line 1: the header holds a NUL"),
        (b"a,b\n1,2\n3,\xff\n", "Line 3, column 'b': the text is not UTF-8"),
        (b"a,b\n1,2\n3,\xc3", "Line 3, column 'b': the text is not UTF-8"),
        (b"a\xff,b\n1,2\n", "Line 1: the header is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "Line 1: the text is UTF-16"),
        (b"a,b\n1,2\n3,inf\n", "Line 3, column 'b': a number that is infinite"),
        (b"a,b\n1,2\n3,1e39\n", "Line 3, column 'b': a number that is infinite or beyond the range"),
        (b"a,b\n1,2\n\n9223372036854775808,4\n", "Line 4, column 'a': an integer beyond int64"),
        (b'a,b\n1,"[1,null]"\n', "Line 2, column 'b': a list with a null"),
    ],
)  # fmt: skip
def test_bad_file_is_refused_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught, ingested(data, "x.csv"):
        pass
    assert message in caught.value.detail
    assert caught.value.errors[0].pointer == "/file"


def test_fault_deep_in_the_file_names_its_line() -> None:
    # The header is line 1, then 300,000 rows: the ragged one stands on line 300,002.
    with pytest.raises(InvalidInput, match=r"^Line 300002: 3 cells"):
        rows_of(b"a,b\n" + b"1,2\n" * 300_000 + b"1,2,3\n", "x.csv")


@pytest.mark.parametrize(
    ("data", "limits", "message"),
    [
        (b"a,b\n1,2\n" + b"x" * 101 + b",1\n", Limits(max_line_bytes=100), "Line 3: longer than 100"),
        (b"a" * 101 + b"\n1\n", Limits(max_line_bytes=100), "Line 1: the header is longer"),
        (b"a,b,c\n1,2,3\n", Limits(max_columns=2), "Line 1: 3 columns; 2 are allowed"),
        (b"a\n1\n2\n3\n", Limits(max_rows=2), "More than 2 rows"),
        (b"a\n1\n2\n3\n", Limits(max_bytes=7), "more than 7 bytes"),
        (b'a\n"[1,2]"\n"[1,2,3]"\n', Limits(max_sequence=2), "Line 3, column 'a': a list of more than 2"),
    ],
)
def test_limits_are_kept(data: bytes, limits: Limits, message: str) -> None:
    with pytest.raises(TooLarge) as caught, ingested(data, "x.csv", limits=limits):
        pass
    assert message in caught.value.detail


def test_row_of_many_lines_may_be_longer_than_a_block_but_not_without_end() -> None:
    long = b'a\n"' + b"7\n" * (1 << 20) + b'"\n'
    with ingested(b"\n" * 100 + long, "x.csv") as (result, _):
        assert result.rows == 1
    with pytest.raises(InvalidInput, match="Line 1002, column 'a': the quote that opens here is never closed"):
        rows_of(b"a\n" + b"1\n" * 1000 + b'"' + b"7\n" * (5 << 18), "x.csv", limits=Limits(max_line_bytes=1000))


def test_schema_overrides_what_the_cells_say() -> None:
    data = b'zip,n,v\n01234,1,"[1,2]"\n99999,2,"[3,4]"\n'
    schema = {"columns": {"zip": {"dtype": "string"}, "n": {"dtype": "float32"}, "v": {"shape": [2]}}}
    assert types_of(data, "x.csv", schema) == {"zip": "string", "n": "float32", "v": "int64"}
    assert rows_of(data, "x.csv", schema)[0] == {"zip": "01234", "n": 1.0, "v": [1, 2]}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"a": {"dtype": "int64"}}, "Line 4, column 'a': the cell is not an integer"),
        ({"a": {"dtype": "float32"}}, "Line 4, column 'a': the cell is not a number"),
        ({"a": {"sequence": True}}, "Line 2, column 'a': the cell is not a JSON list"),
        ({"z": {"dtype": "int64"}}, "names column 'z'"),
        ({"a": {"dtype": "int8"}}, "dtype must be one of"),
    ],
)
def test_cell_or_column_that_breaks_the_schema_is_named(schema: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput) as caught, ingested(b"a,b\n1,2\n\nx1,3\n", "x.csv", {"columns": schema}):
        pass
    assert message in caught.value.detail
    assert "x1" not in caught.value.detail


def test_other_formats_under_the_name_of_csv_are_unsupported() -> None:
    for data in (b'{"a": 1}\n', b"PK\x03\x04....", b"\x93NUMPY\x01\x00", b"PAR1\x15\x04", b"\x80\x04\x95....."):
        with pytest.raises(UnsupportedMedia):
            rows_of(data, "x.csv")


_cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_cells, _cells), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]))
@example([('"', ",\r")], "\n")
def test_what_pythons_writer_writes_is_read_back(rows: list[tuple[str, str]], line_end: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    schema = {"columns": {"a": {"dtype": "string"}, "b": {"dtype": "string"}}}
    nulls = {"", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None"}
    expected = [{"a": None if a in nulls else a, "b": None if b in nulls else b} for a, b in rows]
    assert rows_of(text.getvalue().encode("utf-8"), "x.csv", schema) == expected


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text('a1,"\n\r[]. -', max_size=40).map(str.encode))
def test_any_bytes_are_stored_or_refused(data: bytes) -> None:
    try:
        rows_of(b"a,b\n" + data, "x.csv")
    except (InvalidInput, UnsupportedMedia) as error:
        assert error.detail
