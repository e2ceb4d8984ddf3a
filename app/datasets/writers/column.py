"""Writes one column whose kind shows itself in the data: numbers, strings, lists of them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.chunk import Where
from app.datasets.npy import NpyFile
from app.datasets.row_hash import digest_lists
from app.datasets.upload_schema import ColumnSchema
from app.datasets.writers.memory_budget import MemoryBudget
from app.datasets.writers.numbers import NumberWriter
from app.datasets.writers.strings import StringWriter
from app.errors import InvalidInput, TooLarge, quote_name

Digested = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]
"""Digests of some rows (uint64 [n]) and which of them have one (bool [n]; None: all)."""


@functools.lru_cache(maxsize=1)
def _row_factors(first: int, rows: int) -> np.ndarray[Any, Any]:
    """Odd factors that differ from row to row, so that the order counts; the same for all columns of a chunk."""
    factors = np.arange(first, first + rows, dtype=np.uint64)
    factors *= np.uint64(2)
    factors += np.uint64(1)
    factors *= np.uint64(0x9E3779B97F4A7C15)  # wraps
    return factors


class ColumnWriter:
    """Chooses the kind at the first cell that is not null; a later chunk of another kind is an error."""

    def __init__(self, name: str, stem: Path, schema: ColumnSchema, budget: MemoryBudget, max_sequence: int) -> None:
        self.name = name
        self._stem = stem
        self._schema = schema
        self._budget = budget
        self._max_sequence = max_sequence
        self._rows = 0
        self._sequence = schema.sequence
        self._elements: NumberWriter | StringWriter | None = None
        self._splits = NpyFile(stem.with_name(stem.name + ".row_splits.npy"), np.int64)
        self._element_count = 0
        self._longest = 0
        self._null_lists = 0
        self._booleans: bool | None = None
        self._fingerprint = 0

    def _choose(self, text: bool, default: str | None = None) -> NumberWriter | StringWriter:
        if text:
            self._elements = StringWriter(self.name, self._stem, self._budget)
        else:
            dtype = self._schema.dtype or default
            self._elements = NumberWriter(self.name, self._stem, self._budget, dtype, self._schema.shape)
        return self._elements

    def write_nulls(self, count: int) -> None:
        self._rows += count
        if self._sequence:
            self._null_lists += count
            self._append_splits(np.zeros(count, np.int64))
        elif self._elements is not None:
            self._elements.write_nulls(count)

    def write(self, array: pa.Array, where: Where) -> Digested | None:
        """As `write_rows`, and adds the rows to the fingerprint, which two columns share whose cells all are equal."""
        first = self._rows
        written = self.write_rows(array, where)
        if written is not None:
            digests, valued = written
            mixed = digests >> np.uint64(29)
            mixed ^= digests
            mixed *= _row_factors(first, len(digests))
            self._fingerprint = (self._fingerprint + int((mixed if valued is None else mixed[valued]).sum())) % 2**64
        return written

    def write_rows(self, array: pa.Array, where: Where) -> Digested | None:
        """Appends the rows of an array of a chunk's types, booleans as 0 and 1, NaN as null; None for rows that are
        all null.
        """
        if array.null_count == len(array):
            self.write_nulls(len(array))
            return None
        array = self._without_booleans(array)
        if pa.types.is_large_list(array.type):
            return self._write_dense(array, where) if self._schema.shape else self._write_lists(array, where)
        if self._sequence or self._schema.shape:
            raise self._mixed(array, "a single value", "a list", where)
        self._sequence = False
        digests, null = self._write_elements(array, where, self._rows)
        self._rows += len(array)
        return digests, None if null is None else ~null

    def _without_booleans(self, array: pa.Array) -> pa.Array:
        is_list = pa.types.is_large_list(array.type)
        element = array.type.value_type if is_list else array.type
        if pa.types.is_null(element):
            return array
        boolean = pa.types.is_boolean(element)
        self._booleans = boolean and self._booleans is not False
        if not boolean:
            return array
        return array.cast(pa.large_list(pa.int64()) if is_list else pa.int64())

    def _write_elements(
        self, array: pa.Array, where: Where, rows_before: int
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
        """Digests (uint64 [n]), and which elements are null or NaN (bool [n]; None: none of them)."""
        text = pa.types.is_large_binary(array.type)
        writer = self._elements
        if writer is None:
            writer = self._choose(self._schema.dtype == "string" if self._schema.dtype else text)
            if rows_before:
                writer.write_nulls(rows_before)
        if isinstance(writer, StringWriter) != text:
            wrong, right = ("text", "a number") if text else ("a number", "text")
            raise self._mixed(array, wrong, right, where)
        null = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        if isinstance(writer, StringWriter):
            return writer.write(array), null
        values = (array if null is None else array.fill_null(0)).to_numpy(zero_copy_only=False)
        if values.dtype.kind == "f" and np.isnan(values.min()):
            nan = np.isnan(values)
            null = nan if null is None else null | nan
            values = np.where(nan, 0.0, values)
        return writer.write(values, null, where), null

    def _write_lists(self, array: pa.Array, where: Where) -> Digested:
        if self._sequence is None and self._elements is None:
            self._sequence = True
            self._append_splits(np.zeros(self._rows, np.int64))
            self._null_lists = self._rows
        if not self._sequence:
            raise self._mixed(array, "a list", "a single value", where)
        lengths = _lengths(array)
        if lengths.max() > self._max_sequence:
            place = where(int(lengths.argmax()))
            raise TooLarge.at(
                "/file",
                f"{place}, column {quote_name(self.name)}: a list of more than {self._max_sequence} elements.",
            )
        self._longest = max(self._longest, int(lengths.max()))
        self._null_lists += array.null_count
        splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        flat = self._flat(array, splits, where)
        self._append_splits(lengths)
        self._rows += len(array)
        if not len(flat):
            return np.zeros(len(array), np.uint64), np.zeros(len(array), np.bool_)

        def where_element(index: int) -> str:
            return where(int(np.searchsorted(splits, index, side="right")) - 1)

        digests, _ = self._write_elements(flat, where_element, 0)
        return digest_lists(digests, splits), lengths > 0

    def _write_dense(self, array: pa.Array, where: Where) -> Digested:
        width = self._schema.width or 1
        null = array.is_null().to_numpy(zero_copy_only=False)
        lengths = _lengths(array)
        bad = (lengths != width) & ~null
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InvalidInput.at(
                "/file",
                f"{where(row)}, column {quote_name(self.name)}: a list of {lengths[row]} elements, but the shape in "
                f"the schema needs {width}. Correct the row, or give sequence true in place of the shape.",
            )
        splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        flat = self._flat(array, splits, where)
        if pa.types.is_large_binary(flat.type):
            raise self._mixed(array, "text", "a list of numbers", where)
        writer = self._elements or self._choose(False)
        assert isinstance(writer, NumberWriter)
        if self._rows and not writer.rows:
            writer.write_nulls(self._rows)
        self._rows += len(array)
        numbers = flat.to_numpy(zero_copy_only=False)
        values = np.zeros((len(array), width), numbers.dtype)
        values[~null] = numbers.reshape(-1, width)
        elements = writer.write(values, null, where)
        return digest_lists(elements, np.arange(len(array) + 1, dtype=np.int64) * width), ~null

    def _flat(self, array: pa.Array, splits: np.ndarray[Any, Any], where: Where) -> pa.Array:
        flat = pc.list_flatten(array)
        hole = flat.is_null().to_numpy(zero_copy_only=False)
        if flat.type == pa.float64():
            hole = hole | np.isnan(flat.fill_null(0.0).to_numpy(zero_copy_only=False))
        if hole.any():
            row = int(np.searchsorted(splits, np.flatnonzero(hole)[0], side="right")) - 1
            raise InvalidInput.at(
                "/file",
                f"{where(row)}, column {quote_name(self.name)}: a list with a null or NaN in it. Leave the element "
                "out, or make the whole list null.",
            )
        return flat

    def _append_splits(self, lengths: np.ndarray[Any, Any]) -> None:
        if not self._splits.rows:
            self._splits.append(np.zeros(1, np.int64))
        if len(lengths):
            ends = self._element_count + np.cumsum(lengths)
            self._splits.append(ends)
            self._element_count = int(ends[-1])

    def _mixed(self, array: pa.Array, wrong: str, right: str, where: Where) -> InvalidInput:
        row = int(np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))[0])
        return self._mixed_at(row, wrong, right, where)

    def _mixed_at(self, row: int, wrong: str, right: str, where: Where) -> InvalidInput:
        return InvalidInput.at(
            "/file",
            f"{where(row)}, column {quote_name(self.name)}: {wrong}, where the column has {right}. Give every row of "
            "the column the same type, or null.",
        )

    def close(self) -> tuple[str, dict[str, Any]]:
        """Completes the files; returns how the elements are stored and the column's information."""
        writer = self._elements
        if writer is None:  # no cell (or no element) has a value
            writer = self._choose(self._schema.dtype == "string", default="float32")
            if not self._sequence:
                writer.write_nulls(self._rows)
        info = {"name": self.name, "sequence": bool(self._sequence), **writer.close()}
        if self._fingerprint:
            info["fingerprint"] = f"{self._fingerprint:016x}"
        if self._booleans and info["dtype"] != "string":
            info["boolean"] = True
        if self._sequence:
            self._append_splits(np.zeros(0, np.int64))
            self._splits.close()
            info["nulls"] = self._null_lists
            info["max_length"] = self._longest
        return writer.storage, info


def _lengths(array: pa.Array) -> np.ndarray[Any, Any]:
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, np.int64)
