"""Chunks of rows as Arrow columns, from the reader of a format to the writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from app.errors import InvalidInput, quote_name

Where = Callable[[int], str]
"""Says where a row of the chunk stands in the file ("line 17"); may be slow, is asked for error messages only."""

_TIMES = 'Make numbers of it by the schema: {"timestamp": ["year", "month", "weekday"]} for the column.'


@dataclass(frozen=True)
class Chunk:
    """Rows in any of these Arrow types: null, bool, int64, double, large_binary, and large_list of those; dates and
    times (of any Arrow type) where the schema makes numbers of them.

    Attributes:
        columns: name → array; all of one length. A column that is left out is null in these rows.
        rows: that length.
        where: see `Where`.
    """

    columns: dict[str, pa.Array]
    rows: int
    where: Where


def plain_array(array: pa.Array | pa.ChunkedArray, name: str) -> pa.Array:
    """Brings an array of any type that a file may have into one of a chunk's types.

    Decimals become floats. Raises InvalidInput for a type that has no place in a data set (times, structs, lists of
    lists, unsigned numbers over int64).
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    is_list = (
        pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type)
    )
    target = plain_type(array.type.value_type if is_list else array.type)
    if target is None:
        raise InvalidInput.at(
            "/file",
            f"Column {quote_name(name)} has the type {str(array.type)[:100]}, which can't be trained on. "
            + (_TIMES if pa.types.is_temporal(array.type) else "Store it as numbers, text or a list of those."),
        )
    try:
        return pc.cast(array, pa.large_list(target) if is_list else target)
    except pa.ArrowInvalid as error:
        raise InvalidInput.at(
            "/file", f"Column {quote_name(name)} holds integers beyond int64. Store them as text or floating point."
        ) from error


def plain_type(kind: pa.DataType) -> pa.DataType | None:
    """The chunk type for an Arrow type of single values, None when there is none."""
    if pa.types.is_null(kind):
        return kind
    if pa.types.is_boolean(kind):
        return kind
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.large_binary()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_fixed_size_binary(kind):
        return pa.large_binary()
    return None
