"""One cell that is no number among numbers: told with its line, and the told remedy works."""

import json
import re

import pytest

from app.errors import InvalidInput
from tests.datasets.ingested import ingested, rows_of, types_of


def csv(cells: list[str]) -> bytes:
    return ("price,row\n" + "".join(f'"{cell}",{row}\n' for row, cell in enumerate(cells))).encode()


def refusal(data: bytes, name: str = "x.csv", schema: dict[str, object] | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        rows_of(data, name, schema)
    return caught.value.detail


STRAYS = {
    # the cell → what the message calls it, the value after the remedy
    "-": ("a dash", None),
    "?": ("a question mark", None),
    "n/k": ('"n/k"', None),
    "#DIV/0!": ('"#DIV/0!"', None),
    "$5": ("a number with a currency sign", 5),
    "-$5": ("a number with a currency sign", -5),
    "5 €": ("a number with a currency sign", 5),
    "1,020": ("a number with thousands separators", 1020),
    "1 020 300": ("a number with thousands separators", 1020300),
    "1.020,5": ("a number with thousands separators", 1020.5),
    "3,14": ("a number with a decimal comma", 3.14),
    "5%": ("a number with a percent sign", 5),
    "$1,020.50": ("a number with a currency sign and thousands separators", 1020.5),
}


@pytest.mark.parametrize("cell", STRAYS)
def test_stray_cell_is_told_with_its_line_and_its_remedy_works(cell: str) -> None:
    what, value = STRAYS[cell]
    data = csv(["1", "2", cell, "4"])
    detail = refusal(data)
    assert detail.startswith(
        f"Line 4, column 'price': {what} in a column of numbers (1 of 4 cells are no plain numbers)"
    )
    match = re.search(r"in the schema: (\{.*\}\})\. If the column is text", detail)
    assert match is not None, detail
    rows = rows_of(data, "x.csv", json.loads(match[1]))
    assert rows[2]["price"] == (None if value is None else pytest.approx(value))
    assert [row["price"] for row in rows[:2]] == [1, 2]
    # or it is kept as text
    assert rows_of(data, "x.csv", {"columns": {"price": {"dtype": "string"}}})[2]["price"] == cell


def test_several_kinds_are_taken_by_one_remedy() -> None:
    data = csv(["1", "-", "?", "$5", "6%", "1,020"])
    detail = refusal(data)
    assert detail.startswith("Line 3, ")
    assert "(5 of 6 cells are no plain numbers)" in detail
    match = re.search(r"in the schema: (\{.*\}\})\.", detail)
    assert match is not None
    assert [row["price"] for row in rows_of(data, "x.csv", json.loads(match[1]))] == [1, None, None, 5, 6, 1020]


def test_every_faulty_column_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        rows_of(b"a,b\n1,2\n-,3\n4,?\n", "x.csv")
    assert [error.detail[:19] for error in caught.value.errors] == ["Line 3, column 'a':", "Line 4, column 'b':"]


def test_stray_cell_deep_in_a_large_file_is_told() -> None:
    data = b"a,b\n" + b"7,1\n" * 300_000 + b"7,-\n" + b"7,2\n" * 100_000
    assert refusal(data).startswith("Line 300002, column 'b': a dash in a column of numbers (1 of 400001 cells")


def test_words_among_numbers_are_kept_as_text_with_a_warning() -> None:
    data = csv(["1", "2", "3", "many"])
    with ingested(data, "x.csv") as (result, _):
        assert result.columns[0]["dtype"] == "string"
        (warning,) = result.warnings
    assert warning.startswith("Line 5, column 'price': a word in a column of numbers (1 of 4 cells")
    assert "so the column is text" in warning
    assert "many" not in warning  # a caller's value


def test_column_of_text_is_text_without_a_word() -> None:
    data = csv(["A12", "B7", "17", "C 9", "D", "17b"] * 2)
    with ingested(data, "x.csv") as (result, _):
        assert result.warnings == []
        assert result.columns[0]["dtype"] == "string"


def test_dates_and_phone_numbers_are_no_hidden_numbers() -> None:
    data = b"day,phone\n2024-01-31,030/12345\n2024-02-01,+49 30 123\n"
    assert types_of(data, "x.csv") == {"day": "string", "phone": "string"}


def test_wrong_group_of_thousands_is_no_number() -> None:
    schema = {"columns": {"price": {"thousands": ","}}}
    # "1,02" would silently be 102.
    assert "Line 3, column 'price': the cell is not a number, as the schema says" in refusal(
        csv(["1,020", "1,02"]), schema=schema
    )


def test_point_in_a_column_of_decimal_commas_is_no_number() -> None:
    assert "Line 3, column 'price'" in refusal(csv(["1,5", "1.5"]), schema={"columns": {"price": {"decimal": ","}}})


def test_spelling_of_the_file_leaves_columns_of_text_alone() -> None:
    data = b"a;b;c\n1.020,5;x,y;-\n2,5;z;7\n"
    schema = {"separator": ";", "decimal": ",", "thousands": ".", "null_values": ["-"]}
    assert rows_of(data, "x.csv", schema) == [{"a": 1020.5, "b": "x,y", "c": None}, {"a": 2.5, "b": "z", "c": 7}]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"a": "1,020"}\n{"a": "-"}\n{"a": "$7"}\n{}\n', "x.jsonl"),
        (b'a\n"1,020"\n-\n$7\nNA\n', "x.csv"),
    ],
)
def test_spelling_is_read_in_every_format_of_text(data: bytes, name: str) -> None:
    schema = {"columns": {"a": {"null_values": ["-"], "thousands": ",", "strip": "$"}}}
    assert [row["a"] for row in rows_of(data, name, schema)] == [1020, None, 7, None]


def test_null_values_go_with_numbers_of_json() -> None:
    schema = {"columns": {"a": {"null_values": ["-"]}}}
    assert [row["a"] for row in rows_of(b'{"a": 1}\n{"a": "-"}\n', "x.jsonl", schema)] == [1, None]


def test_leading_zeros_stay_text_and_are_told() -> None:
    with ingested(b"zip,n\n02139,1\n10115,2\n", "x.csv") as (result, table):
        assert [info["dtype"] for info in result.columns] == ["string", "int64"]
        assert [row["zip"] for row in table.preview(2)] == ["02139", "10115"]
        assert result.warnings[0].startswith("Line 2, column 'zip': a number that begins with a zero")
    assert types_of(b"zip\n02139\n", "x.csv", {"columns": {"zip": {"dtype": "int64"}}}) == {"zip": "int64"}
    # A zero before a point, or alone, is no leading zero.
    assert types_of(b"a,b\n0,0.5\n7,1\n", "x.csv") == {"a": "int64", "b": "float32"}


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separator_is_told_and_taken(separator: str, name: str) -> None:
    data = f'a{separator}b\n1{separator}"x{separator}y"\n2{separator}z\n'.encode()
    detail = refusal(data)
    assert detail.startswith(f"Line 1: one column only, but {name} in its name")
    schema = json.loads(detail[detail.index("{") : detail.rindex("}") + 1])
    assert rows_of(data, "x.csv", schema) == [{"a": 1, "b": f"x{separator}y"}, {"a": 2, "b": "z"}]
    with pytest.raises(InvalidInput, match="Line 3: 3 cells, but the header has 2"):
        rows_of(data.replace(b"z", f"z{separator}".encode()), "x.csv", schema)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_other_encodings_are_taken(encoding: str, name: str) -> None:
    text = "größe,ort\n1,Köln\n" if name == "x.csv" else '{"größe": 1, "ort": "Köln"}\n'
    rows = rows_of(text.encode(encoding), name, {"encoding": encoding})
    assert rows == [{"größe": 1, "ort": "Köln"}]


def test_bytes_that_the_encoding_does_not_have_are_told_with_their_line() -> None:
    # 0x81 is no character of cp1252.
    assert refusal(b"a\nx\n\x81\n", schema={"encoding": "cp1252"}).startswith("Line 3: the text is not cp1252")
    assert '{"encoding": "cp1252"}' in refusal("a\nKöln\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"separator": "::"}, "separator must be one of"),
        ({"encoding": "klingon"}, "encoding must be one of"),
        ({"null_values": "-"}, "null_values must be a list"),
        ({"columns": {"a": {"thousands": "x"}}}, "thousands must be a comma"),
        ({"columns": {"a": {"thousands": "."}}}, "thousands and decimal are the same"),
        ({"columns": {"a": {"strip": "5"}}}, "strip can't take off digits"),
        ({"columns": {"a": {"strip": "$", "dtype": "string"}}}, "strip is for a column of single numbers"),
        ({"columns": {"a": {"timestamp": ["moon"]}}}, "timestamp's features must be some of"),
        ({"columns": {"a": {"timestamp": ["age"]}}}, '"age_at"'),
        ({"columns": {"a": {"timestamp": ["year"], "dtype": "int64"}}}, "timestamp goes with null_values only"),
    ],
)
def test_wrong_schema_says_what_is_right(schema: dict[str, object], message: str) -> None:
    assert message in refusal(b"a\n1\n", schema=schema)
