"""Blocks of JSON lines by Arrow's reader against the same lines read one by one."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.datasets.limits import Limits
from app.datasets.readers import jsonl
from app.datasets.readers.jsonl_fast import line_ends, one_object_a_line, parse
from app.datasets.upload_schema import ColumnSchema, Schema, Spelling
from app.errors import InvalidInput, TooLarge

KNOWN = b'{"i": 1, "f": 0.5, "s": "x", "b": true, "l": [1], "g": [0.5], "t": ["a"], "e": [], "n": null}\n'
VALUES = [
    "1",
    "-1",
    "0",
    "-0",
    "0.0",
    "-0.0",
    "1.5",
    "1e3",
    "1E400",
    "-1e-400",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "9007199254740993",
    "0.1",
    '""',
    '"x"',
    '"\\u00e9"',
    '"é"',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    '"\\udc00"',
    '"2026-01-02"',
    '"2026-01-02T03:04:05"',
    "true",
    "false",
    "null",
    "NaN",
    "Infinity",
    "-Infinity",
    "[]",
    "[1]",
    "[1.5,2]",
    '["a"]',
    "[null]",
    "[true]",
    "[[1]]",
    '[1,"a"]',
    "{}",
    '{"a":1}',
    "01",
    "+1",
    ".5",
    "1.",
    "nul",
    '"a\tb"',
    '"\\x"',
    "[1,]",
    "tru",
]
KEYS = ("i", "f", "s", "b", "l", "g", "t", "e", "n", "new", "", "\\u0069")


def read(data: bytes, *, fast: bool, schema: dict[str, ColumnSchema] | None = None) -> Any:
    """Rows and column types of all chunks together, or what was refused and at which line."""
    reader = jsonl.JsonlReader(io.BytesIO(data), Limits(max_columns=50), Schema(schema or {}))
    if not fast:
        reader._fast = lambda *_: None  # type: ignore[method-assign,assignment]
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    try:
        for chunk in reader.chunks():
            names |= dict.fromkeys(name for name, array in chunk.columns.items() if array.null_count < len(array))
            columns = {name: array.to_pylist() for name, array in chunk.columns.items()}
            assert all(len(values) == chunk.rows for values in columns.values())
            for row in range(chunk.rows):
                cells = {name: values[row] for name, values in columns.items() if values[row] is not None}
                rows.append({"place": chunk.where(row), **cells})
    except (InvalidInput, TooLarge) as error:
        return (type(error).__name__, str(error.detail).partition(",")[0].partition(":")[0])
    return list(names), rows


def line() -> st.SearchStrategy[bytes]:
    pair = st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES))
    good = st.lists(pair, max_size=4).map(lambda pairs: "{" + ", ".join(f'"{key}": {v}' for key, v in pairs) + "}")
    odd = st.sampled_from(["", " ", "{}", "[1]", "1", '{"i": 1} {"i": 2}', '{"i":', "}", ' {"i": 1}', '{"i": 1} ', "x"])
    return st.one_of(good, good, good, odd).map(lambda text: text.encode("utf-8"))


@settings(max_examples=400, deadline=None)
@given(lines=st.lists(line(), min_size=1, max_size=6), end=st.sampled_from([b"\n", b"\r\n"]), last=st.booleans())
@example(lines=[b'{"i": 1}', b'{"s": "\xff"}'], end=b"\n", last=True)
@example(lines=[b'{"f": 9223372036854775808}'], end=b"\n", last=True)
@example(lines=[b'{"i": 1} {"i": 2}', b'{"i":', b"3}"], end=b"\n", last=False)
@example(lines=[b'{"i": true}'], end=b"\n", last=True)
def test_blocks_read_at_once_are_those_read_line_by_line(lines: list[bytes], end: bytes, last: bool) -> None:
    # the first block, always read with care, tells the types; the second is the one that is tried
    data = KNOWN + end.join(lines) + (end if last else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_FIRST_BLOCK_BYTES", len(KNOWN))

        assert read(data, fast=True) == read(data, fast=False)


def test_plain_lines_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_FIRST_BLOCK_BYTES", 64)
    careful = []
    monkeypatch.setattr(jsonl, "_parse", lambda text, line: careful.append(line) or json.loads(text))
    data = b"".join(b'{"a": %d, "b": "x%d", "c": [%d, 2], "d": null}\n' % (n, n, n) for n in range(1000))

    names, rows = read(data, fast=True)

    assert names == ["a", "b", "c"]
    assert rows[999] == {"place": "Line 1000", "a": 999, "b": b"x999", "c": [999, 2]}
    assert careful == [1]


def test_integers_that_the_schema_rounds_are_floats_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_FIRST_BLOCK_BYTES", 10)
    data = b'{"a": 1}\n{"a": 2}\n{"a": 12345678901234567890}\n'
    schema = {"a": ColumnSchema(dtype="float32")}

    assert read(data, fast=True, schema=schema) == read(data, fast=False, schema=schema)


def test_booleans_after_numbers_are_refused_also_far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_FIRST_BLOCK_BYTES", 9)

    for first, second in ((b"1", b"true"), (b"true", b"1.5")):
        data = b'{"a": ' + first + b'}\n{"a": null}\n{"a": ' + second + b"}\n"
        assert read(data, fast=True) == ("InvalidInput", "Line 3")


def test_a_line_without_end_is_refused_before_it_is_read_whole() -> None:
    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            self.asked += size
            return b"x" * size

    file = Endless()
    reader = jsonl.JsonlReader(file, Limits(max_line_bytes=1 << 20), Schema({}))  # type: ignore[arg-type]

    with pytest.raises(TooLarge, match="Line 1: longer than 1048576 bytes"):
        list(reader.chunks())
    # a block or two more than the limit
    assert file.asked <= 3 * (4 << 20)


@pytest.mark.parametrize(
    ("block", "plain"),
    [
        (b'{"a": 1}\n{}\n', True),
        (b'{"a": 1}\r\n{}\r\n', True),
        (b'{"a": 1}\n\n', False),
        (b'{"a":\n1}\n', False),
        (b' {"a": 1}\n', False),
        (b"\n", False),
        (b"\r\n", False),
    ],
)
def test_lines_begin_and_end_with_a_brace(block: bytes, plain: bool) -> None:
    assert one_object_a_line(block, line_ends(block)) is plain


def test_two_objects_on_a_line_are_not_two_rows() -> None:
    assert parse(b'{"a": 1} {"a": 2}\n', 1, {"a": pa.int64()}) is None


def test_texts_that_mean_no_value_are_null_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_FIRST_BLOCK_BYTES", 28)
    data = b'{"a": "x", "b": 1, "c": "-"}\n{"a": " - ", "b": 2, "c": "-"}\n{"a": "y", "b": "-", "c": "z"}\n'
    schema = {name: ColumnSchema(spelling=Spelling(null_values=("-",))) for name in "abc"}

    names, rows = read(data, fast=True, schema=schema)

    assert (names, rows) == read(data, fast=False, schema=schema)
    assert rows[1] == {"place": "Line 2", "b": 2}
