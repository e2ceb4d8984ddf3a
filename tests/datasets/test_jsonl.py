"""JSON lines: types by value, lists as sequences, and where a fault stands."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.limits import Limits
from app.errors import InvalidInput, TooLarge
from tests.datasets.ingested import ingested, rows_of, types_of


def test_values_lists_and_absent_keys_are_read() -> None:
    data = b'{"a": 1, "s": "x", "l": [1, 2]}\n\n{"a": 2.5, "l": null}\r\n{"s": "\\u00e9", "b": true, "t": ["p"]}'
    assert types_of(data, "x.jsonl") == {"a": "float32", "s": "string", "l": "int64[]", "b": "int64", "t": "string[]"}
    assert rows_of(data, "x.ndjson") == [
        {"a": 1.0, "s": "x", "l": [1, 2], "b": None, "t": []},
        {"a": 2.5, "s": None, "l": [], "b": None, "t": []},
        {"a": None, "s": "é", "l": [], "b": 1, "t": ["p"]},
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}\n\n{"a": "x"}', "Line 3, key 'a': text, where lines before have a number"),
        (b'{"a": 1}\n{"a": true}', "Line 2, key 'a': a boolean"),
        (b'{"a": [1]}\n{"a": 1}', "Line 2, key 'a': a number, where lines before have a list"),
        (b'{"a": [1, "x"]}', "Line 1, key 'a': text"),
        (b'{"a": [[1]]}', "Line 1, key 'a': a list within"),
        (b'{"a": {"b": 1}}', "Line 1, key 'a': an object within"),
        (b'{"a": [1, null]}', "Line 1, key 'a': a list with a null"),
        (b'{"a": 1}\n{"a": NaN}', "Line 2: NaN is not a JSON number"),
        (b'{"a": 1}\n{"a": 1e400}', "Line 2, column 'a': a number that is infinite"),
        (b'{"a": 1}\n{"a": 9223372036854775808}', "Line 2, key 'a': an integer beyond int64"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Line 1: An integer has more than 40 digits"),
        (b'{"a": 1, "a": 2}', "Line 1: The key 'a' stands twice"),
        (b'{"a": "\\ud800"}', "Line 1, key 'a': half of a surrogate"),
        (b'{"a": ' + b"[" * 100_000, "Line 1: The JSON is nested too deep"),
        (b'{"a": 1}\n{"a"', "Line 2: This is not valid JSON (character 4)"),
        (b'{"a": "\xff"}', "Line 1: This is not valid Unicode"),
        (b"[1, 2]", "Write one object a line"),
        (b'{"": 1}', "Line 1: an empty key"),
        (b'{"a\\u0000": 1}', "The column name 'a\\x00' is empty, or no text"),
        (b'{"\\ud800": 1}', "The column name '\\ud800' is empty, or no text"),
        (b"{}\n{}", "no columns"),
        (b"\n", "no rows"),
    ],
)
def test_bad_line_is_refused_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught, ingested(data, "x.jsonl"):
        pass
    assert message in caught.value.detail


def test_mixed_types_far_apart_name_the_later_line() -> None:
    # Eight keys a line: the reader hands on 2**19 / 8 = 65,536 lines at a time.
    line = b'{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1}\n'
    with pytest.raises(InvalidInput, match=r"^Line 65537, column 'a': text, where the column has a number"):
        rows_of(line * 65_536 + b'{"a": "x"}\n', "x.jsonl")


def test_schema_rounds_large_integers_only_when_it_says_float32() -> None:
    assert rows_of(b'{"a": 18446744073709551616}', "x.jsonl", {"columns": {"a": {"dtype": "float32"}}}) == [
        {"a": 2.0**64}
    ]
    with pytest.raises(InvalidInput, match="text, where the column has a number"):
        rows_of(b'{"a": "x"}', "x.jsonl", {"columns": {"a": {"dtype": "float32"}}})


def test_limits_are_kept() -> None:
    with pytest.raises(TooLarge, match="Line 2: longer than 20 bytes"):
        rows_of(b'{"a": 1}\n{"a": "' + b"x" * 20 + b'"}', "x.jsonl", limits=Limits(max_line_bytes=20))
    with pytest.raises(TooLarge, match="Line 2: more than 1 different keys"):
        rows_of(b'{"a": 1}\n{"b": 1}', "x.jsonl", limits=Limits(max_columns=1))


_numbers = st.integers(-(2**63), 2**63 - 1) | st.none()
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.none()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"n": _numbers, "t": _texts, "l": st.lists(st.text("ab"))}), min_size=1))
def test_rows_come_back_as_they_were(rows: list[dict[str, object]]) -> None:
    schema = {"columns": {"n": {"dtype": "int64"}, "t": {"dtype": "string"}, "l": {"sequence": True}}}
    data = "\n".join(json.dumps(row) for row in rows).encode()
    assert rows_of(data, "x.jsonl", schema) == rows


_anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("ab"), _anything), max_size=4), st.binary(max_size=8))
def test_any_lines_are_stored_or_refused(rows: list[dict[str, object]], tail: bytes) -> None:
    try:
        rows_of("\n".join(json.dumps(row) for row in rows).encode() + b"\n" + tail, "x.jsonl")
    except InvalidInput as error:
        assert error.detail
