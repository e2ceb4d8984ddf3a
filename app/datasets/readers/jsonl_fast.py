"""Whole lines of JSON at once, by Arrow's reader: for lines whose keys and types are known and that have no fault.

Whatever Arrow refuses, or reads otherwise than JSON says (two objects on a line, NaN, integers beyond int64), is left
to the careful reader, line by line, which finds the fault and words it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

_NEWLINE, _RETURN, _OPEN, _CLOSE = b"\n\r{}"
_INT64 = 2.0**63
#: Bytes that stand beside digits in a number with a fraction or an exponent; a minus stands before an integer too.
_IN_NUMBER = np.isin(np.arange(256), list(b".eE+"))


def line_ends(block: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Places of all newlines."""
    return np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)


def one_object_a_line(block: bytes, ends: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bool:
    """Whether each line begins with a brace and ends with one. Arrow then reads at least one object from each, because
    within a value no `}` is followed by `{` without a comma.

    Args:
        block: ends with a newline.
        ends: see `line_ends`.
    """
    data = np.frombuffer(block, np.uint8)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    last = ends - 1
    last = last - (data[last] == _RETURN)
    return bool((data[starts] == _OPEN).all() and (data[last] == _CLOSE).all())


def lines_with_long_integers(block: bytes, ends: np.ndarray[tuple[int], np.dtype[np.int64]]) -> set[int]:
    """Those of the lines, from 0, in which eight digits or more stand as an integer does, or within a text.

    Args:
        block, ends: as of `one_object_a_line`.
    """
    data = np.frombuffer(block, np.uint8)
    digits = data - ord("0") < 10  # wraps around below
    for width in (1, 2, 4):
        digits = digits[:-width] & digits[width:]
    places = np.flatnonzero(digits)  # where eight digits begin
    if not len(places):
        return set()
    apart = np.diff(places) > 1
    first, last = places[np.append(True, apart)], places[np.append(apart, True)] + 7
    alone = ~_IN_NUMBER[data[first - 1]] & ~_IN_NUMBER[data[last + 1]]
    return set(np.searchsorted(ends, first[alone]).tolist())


def parse(block: bytes, rows: int, types: dict[str, pa.DataType]) -> dict[str, pa.Array] | None:
    """The columns of the lines in a chunk's types, without those that are null throughout; None for lines to read with
    care.

    Args:
        block: `rows` lines for which `one_object_a_line` holds, UTF-8 without checks.
        types: of every key that may come: null, bool, int64, double, string, or list of those.
    """
    try:
        if not block.isascii():
            block.decode("utf-8")
        table = pj.read_json(
            pa.BufferReader(block),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=pj.ParseOptions(explicit_schema=pa.schema(types), unexpected_field_behavior="error"),
        )
    except (pa.ArrowException, UnicodeError):
        return None
    if table.num_rows != rows:
        return None
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        array = column.combine_chunks()
        if array.null_count == len(array):
            continue
        flat = pc.list_flatten(array) if pa.types.is_list(array.type) else array
        if not _as_json_says(flat, is_list=flat is not array):
            return None
        columns[name] = _cast(array)
    return columns


def _as_json_says(values: pa.Array, *, is_list: bool) -> bool:
    """No null within a list; no float that is NaN, beyond int64 (it may have been an integer) or a negative zero."""
    if is_list and values.null_count:
        return False
    if pa.types.is_floating(values.type):
        numbers = values.fill_null(0.0).to_numpy(zero_copy_only=False)
        return bool((np.abs(numbers) < _INT64).all() and not np.signbit(numbers[numbers == 0]).any())
    return True


def _cast(array: pa.Array) -> pa.Array:
    """In a chunk's types."""
    if pa.types.is_list(array.type):
        return array.cast(pa.large_list(_target(array.type.value_type)))
    return array.cast(_target(array.type))


def _target(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_boolean(kind):
        return pa.int64()
    return pa.large_binary() if pa.types.is_string(kind) else kind
