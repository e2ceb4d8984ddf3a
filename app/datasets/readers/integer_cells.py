"""Integers among the text cells of a CSV column: which cells are some, and what a type of the column does to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.readers.first_bytes import first_bytes
from app.datasets.readers.spelling import plain_numbers
from app.datasets.upload_schema import Spelling

_INTEGER = r"^\s*[+-]?\d+\s*$"
_LEADING_ZERO = r"^\s*[+-]?0\d+\s*$"
_HEAD = 64
#: Integers up to here are themselves in float32, up to `_EXACT_DOUBLE` in float64.
_EXACT_SINGLE, _EXACT_DOUBLE, _INT64 = 2**24, 2**53, 2**63
_MOST_DIGITS = 25


def integers(cells: pa.Array) -> pa.Array:
    """Trimmed texts as int64. Raises pa.ArrowInvalid for one that is no decimal integer of 64 bits.

    Arrow's own conversion refuses the sign of "+7", and takes "0xFF…F" for -1.
    """
    if (signed := pc.starts_with(cells, "+")).true_count:
        cells = pc.if_else(signed, pc.replace_substring_regex(cells, r"^\+(\d)", r"\1"), cells)
    if hexadecimal(cells) is not None:
        raise pa.ArrowInvalid("a hexadecimal number")
    return pc.cast(cells, pa.int64())


def hexadecimal(cells: pa.Array) -> int | None:
    """First row of trimmed texts that begins as a hexadecimal number."""
    rows, first, second = _low_starts(cells)
    found = rows[(first == ord("0")) & ((second | 0x20) == ord("x"))]
    return int(found[0]) if len(found) else None


def leading_zero(cells: pa.Array) -> int | None:
    """First row whose text is an integer of two digits or more that begins with a zero."""
    rows, first, second = _low_starts(cells)
    zero = (first == ord("0")) & (second - ord("0") <= 9)  # wraps around below the digits
    signed = (first < ord("0")) & ((first <= ord(" ")) | (second == ord("0")))
    rows = rows[zero | signed]
    if not len(rows):
        return None
    found = rows[pc.match_substring_regex(cells.take(pa.array(rows)), _LEADING_ZERO).fill_null(False).to_numpy(False)]
    return int(found[0]) if len(found) else None


def _low_starts(cells: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows of the texts of two bytes or more that begin with a zero or with a lower byte (as blanks and signs are),
    their first and their second bytes.

    Args:
        cells: large_string, with empty texts where they are null.
    """
    first = first_bytes(cells)
    rows = np.flatnonzero(first - 1 < ord("0"))  # wraps around at 0, where there is none
    _, offsets, data = cells.buffers()
    starts = np.frombuffer(offsets, np.int64)[cells.offset : cells.offset + len(cells) + 1]
    rows = rows[starts[rows + 1] - starts[rows] > 1]
    return rows, first[rows], np.frombuffer(data, np.uint8)[starts[rows] + 1]


class IntegerDigits:
    """Follows the numbers of one column that no schema types, for the case that some of them make it float32.

    Attributes:
        beyond: row of the file with the first integer that no int64 holds.
        rounded: row with the first integer that float32 would round.
        other: row with the first number that is not written as an integer.
        whole: row with the first whole number that float32 would round, if it is written as an integer or not.
        large: whether some number is so large that float32 has not every integer of its size.
    """

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self.beyond: int | None = None
        self.rounded: int | None = None
        self.other: int | None = None
        self.whole: int | None = None
        self.large = False
        self._whole = True
        self._integers = False

    @property
    def fractions(self) -> bool:
        """Whether some number was no whole one."""
        return not self._whole

    @property
    def needless(self) -> bool:
        """Whether all numbers are whole, and some are written as integers, some are not."""
        return self._whole and self._integers and self.other is not None

    def add_integers(self, values: pa.Array, rows_before: int) -> None:
        """Takes int64 values; `rows_before` is how many rows came before them."""
        self._integers = True
        if self.rounded is None:
            rows = np.flatnonzero(rounded_integers(_numbers(values)))
            self.rounded = rows_before + int(rows[0]) if len(rows) else None

    def add_floats(self, cells: pa.Array, values: pa.Array, rows_before: int) -> None:
        """Takes text cells of which not all are integers, and their float64 values."""
        numbers = _numbers(values)
        if self.other is None:
            self.other = self._first_other(cells, rows_before)
        self.large = self.large or bool((np.abs(numbers) > _EXACT_SINGLE).any())
        if self._whole:
            finite = numbers[np.isfinite(numbers)]
            self._whole = bool((np.floor(finite) == finite).all())
            if self._whole and not self._integers:
                self._integers = self._written(cells).true_count > 0
        if self.large and (self.rounded is None or self.beyond is None):
            rows = np.flatnonzero(may_be_rounded(numbers))
            if len(rows) and self.whole is None:
                self.whole = rows_before + int(rows[0])
            self._find_large(cells, rows, rows_before)

    def _written(self, cells: pa.Array) -> pa.Array:
        """Which cells are written as integers; null where there is none."""
        return pc.match_substring_regex(plain_numbers(cells, self._spelling), _INTEGER)

    def _first_other(self, cells: pa.Array, rows_before: int) -> int | None:
        for start, length in ((0, _HEAD), (_HEAD, None)):
            place = pc.index(self._written(cells.slice(start, length)), False).as_py()
            if place >= 0:
                return rows_before + start + int(place)
        return None

    def _find_large(self, cells: pa.Array, rows: np.ndarray[Any, Any], rows_before: int) -> None:
        if not len(rows):
            return
        texts = plain_numbers(cells.take(pa.array(rows)), self._spelling)
        written = pc.fill_null(pc.match_substring_regex(texts, _INTEGER), False)
        for row, text in zip(rows[written.to_numpy(False)].tolist(), texts.filter(written).to_pylist(), strict=True):
            digits = text.strip("+-").lstrip("0")
            value = int(digits or "0") if len(digits) < _MOST_DIGITS else _INT64 + 1
            if value >= _INT64 and (value > _INT64 or not text.startswith("-")):
                self.beyond = rows_before + row if self.beyond is None else self.beyond
            elif self.rounded is None and not _exact(np.array([value], np.uint64)).all():
                self.rounded = rows_before + row
            if self.beyond is not None and self.rounded is not None:
                return


def _numbers(values: pa.Array) -> np.ndarray[Any, Any]:
    """0 for a null."""
    numbers: np.ndarray[Any, Any] = (values.fill_null(0) if values.null_count else values).to_numpy(False)
    return numbers


def rounded_integers(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which int64 values float32 does not hold."""
    if values.max(initial=0) <= _EXACT_SINGLE and values.min(initial=0) >= -_EXACT_SINGLE:
        return np.zeros(len(values), np.bool_)
    return ~_exact(values)


def may_be_rounded(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which float64 values may stand for integers that float32 does not hold; never one that has a fraction."""
    sizes = np.abs(values)
    if not (largest := sizes.max(initial=0.0)) > _EXACT_SINGLE and not np.isnan(largest):
        return np.zeros(len(values), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        lost = (sizes >= _EXACT_DOUBLE) | (sizes.astype(np.float32) != sizes)
        found: np.ndarray[Any, np.dtype[np.bool_]] = (sizes > _EXACT_SINGLE) & lost & (np.floor(sizes) == sizes)
    return found


def _exact(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which integers float32 holds: those of at most 24 binary digits between the first and the last that is one."""
    sizes = np.where(values < 0, ~values, values).astype(np.uint64) + (values < 0)
    lowest = sizes & (~sizes + np.uint64(1))
    kept: np.ndarray[Any, np.dtype[np.bool_]] = sizes // np.maximum(lowest, np.uint64(1)) <= _EXACT_SINGLE
    return kept
