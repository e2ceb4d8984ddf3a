"""Types of CSV columns, decided by all of their cells."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.readers.integer_cells import (
    IntegerDigits,
    hexadecimal,
    integers,
    leading_zero,
    may_be_rounded,
)
from app.datasets.readers.odd_cells import OddCells
from app.datasets.readers.spelling import plain_numbers, without_nulls
from app.datasets.readers.stray_cells import StrayCell, StrayCells
from app.datasets.upload_schema import ColumnSchema, Spelling

NULLS = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None"]
"""Cells that mean "no value", quoted or not."""

_BOOLS = {"true": 1, "false": 0}
_HEAD = 64


class Kind(StrEnum):
    UNKNOWN = "unknown"  # no cell with a value so far
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    LIST = "list"
    TEXT = "text"


class NotOfKind(Exception):
    """A cell does not read as the kind.

    Args:
        find: first such row of the array, or what finds it, which takes longer than to see that there is one.
    """

    def __init__(self, find: int | Callable[[], int]) -> None:
        super().__init__()
        self._find = find

    @property
    def row(self) -> int:
        """The first such row."""
        return self._find if isinstance(self._find, int) else self._find()


class CellType:
    """Follows one column through the first pass. `kind` moves up: unknown → integer → float → text; bool and list
    become text at the first cell that is neither. A kind that the schema gives stays; a cell that does not fit it
    raises NotOfKind.
    """

    def __init__(self, schema: ColumnSchema) -> None:
        self._spelling = schema.spelling
        self._numeric = schema.numeric
        self.forced = True
        if schema.timestamp is not None:
            self.kind = Kind.TEXT
        elif schema.is_list:
            self.kind = Kind.LIST
        elif schema.dtype:
            self.kind = {"int64": Kind.INTEGER, "float32": Kind.FLOAT, "string": Kind.TEXT}[schema.dtype]
        else:
            self.kind = Kind.UNKNOWN
            self.forced = False
        #: some number has blanks around it, or is spelled as the schema says: Arrow's own conversion would refuse it
        self.untidy = not schema.spelling.plain or bool(schema.spelling.null_values)
        #: what the type of a column of numbers does to its integers
        self.digits = IntegerDigits(schema.spelling)
        #: row of the file with the first integer that begins with a zero
        self.leading_zero: int | None = None
        #: cells that keep the column from being one of numbers
        self.strays = StrayCells()
        #: cells that keep it from being one of truth values or of lists
        self.odd = OddCells()

    def see(self, cells: pa.Array, rows_before: int) -> pa.Array | None:
        """Takes the next cells (large_string, null where the file says so); their values, if it had to find them."""
        if self.kind is Kind.TEXT and (self.forced or (self.strays.settled and self.odd.settled)):
            return None
        cells = without_nulls(cells, self._spelling)
        if cells.null_count == len(cells):
            return None
        if self.kind is Kind.TEXT:
            self._add_text(cells, rows_before)
            return None
        for kind in self._candidates():
            try:
                tidy, values = convert(cells, kind, self._spelling)
            except NotOfKind:
                if self.forced:
                    raise
                continue
            self._found(kind, tidy, cells, values, rows_before)
            return values
        if self._numeric:
            self.kind = Kind.FLOAT
            convert(cells, Kind.FLOAT, self._spelling)  # raises at the first cell that is no number
        if self.kind in (Kind.BOOL, Kind.LIST):
            self.strays.settled = True
        self.kind = Kind.TEXT
        self._add_text(cells, rows_before)
        return None

    def _add_text(self, cells: pa.Array, rows_before: int) -> None:
        self.strays.add(cells, rows_before)
        self.odd.add(cells, rows_before)

    def _found(self, kind: Kind, tidy: bool, cells: pa.Array, values: pa.Array, rows_before: int) -> None:
        self.kind = kind
        self.untidy = self.untidy or not tidy
        if not self.forced and kind in (Kind.BOOL, Kind.LIST):
            self.odd.add_good(kind is Kind.BOOL, len(cells) - cells.null_count)
        if self.forced or kind not in (Kind.INTEGER, Kind.FLOAT):
            return
        self.strays.add_numbers(cells)
        if kind is Kind.FLOAT:
            self.digits.add_floats(cells, values, rows_before)
        else:
            self.digits.add_integers(values, rows_before)
        if self.leading_zero is None:
            row = leading_zero(cells)
            self.leading_zero = None if row is None else rows_before + row

    def problem(self, name: str) -> StrayCell | None:
        """What keeps the column `name` from being one of numbers, truth values or lists; None for text."""
        return self.strays.problem(name) or self.odd.problem(name)

    def decide(self) -> None:
        """After the last cell: integers of which some begin with a zero (codes, not quantities) are text."""
        if self.kind is Kind.INTEGER and self.leading_zero is not None and not self._numeric:
            self.kind = Kind.TEXT

    def follows(self, before: Kind) -> bool:
        """Whether values that were found when the kind was `before` are those that it has at the end too, so far."""
        if self.kind is Kind.INTEGER and self.leading_zero is not None and not self._numeric:
            return False
        return self.digits.beyond is None and before in (Kind.UNKNOWN, self.kind)

    @property
    def plainly_float(self) -> bool:
        """Whether the column is one of floats, with no question about integers among them."""
        if self.kind is not Kind.FLOAT or self.untidy:
            return False
        return self.forced or (self.digits.fractions and not self.digits.large)

    def are_plainly_float(self, values: pa.Array) -> bool:
        """Whether float64 values that Arrow's parser found are those that it would find in their texts, and raise no
        question about integers among them."""
        numbers = (values.fill_null(0) if values.null_count else values).to_numpy(zero_copy_only=False)
        return bool(np.isfinite(numbers).all()) and (self.forced or not may_be_rounded(numbers).any())

    def _candidates(self) -> list[Kind]:
        if self.forced or self.kind in (Kind.FLOAT, Kind.BOOL, Kind.LIST):
            return [self.kind]
        if self.kind is Kind.INTEGER or self._numeric:
            return [Kind.INTEGER, Kind.FLOAT]
        return [Kind.INTEGER, Kind.FLOAT, Kind.BOOL, Kind.LIST]

    @property
    def arrow(self) -> pa.DataType:
        """The type that Arrow's parser converts to in the second pass; `convert` does the rest where it is string."""
        if not self.untidy and self.kind is Kind.INTEGER:
            return pa.int64()
        if not self.untidy and self.kind is Kind.FLOAT:
            return pa.float64()
        return pa.large_string()

    def values(self, cells: pa.Array) -> pa.Array:
        """Cells of the second pass (as `arrow`) in a chunk's types."""
        if cells.type == self.arrow != pa.large_string():
            return cells
        return convert(without_nulls(cells, self._spelling), self.kind, self._spelling)[1]


_PLAIN = Spelling()


def convert(cells: pa.Array, kind: Kind, spelling: Spelling = _PLAIN) -> tuple[bool, pa.Array]:
    """Text cells as `kind`, in a chunk's types, and whether that went without trimming blanks. Raises NotOfKind."""
    if kind is Kind.TEXT:
        return True, pc.cast(cells, pa.large_binary())
    if kind is Kind.LIST:
        return True, _lists(cells)
    if kind is Kind.BOOL:
        return True, _bools(cells)
    if kind is Kind.UNKNOWN:
        return True, pa.nulls(len(cells))
    # A cast words a message for every bad cell, which costs a hundred times as much as a good one: a column that is
    # none of numbers mostly shows it at once.
    tidy = len(cells) <= _HEAD or convert(cells.slice(0, _HEAD), kind, spelling)[0]
    if tidy and spelling.plain:
        try:
            values = pc.cast(cells, pa.int64() if kind is Kind.INTEGER else pa.float64())
            if kind is not Kind.INTEGER or hexadecimal(cells) is None:
                return True, values
        except pa.ArrowInvalid:
            pass
    trimmed = plain_numbers(cells, spelling)
    trimmed = pc.if_else(pc.is_in(trimmed, pa.array(NULLS, trimmed.type)), None, trimmed)
    try:
        return False, _numbers(trimmed, kind)
    except pa.ArrowInvalid:
        raise NotOfKind(lambda: _first_bad(trimmed, kind)) from None


def _numbers(trimmed: pa.Array, kind: Kind) -> pa.Array:
    return integers(trimmed) if kind is Kind.INTEGER else pc.cast(trimmed, pa.float64())


def _first_bad(cells: pa.Array, kind: Kind) -> int:
    low, high = 0, len(cells)  # a bad cell lies in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _numbers(cells.slice(low, middle - low), kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _bools(cells: pa.Array) -> pa.Array:
    if len(cells) > _HEAD:
        _bools(cells.slice(0, _HEAD))  # a column of texts mostly shows it at once
    encoded = cells.dictionary_encode()
    words = [word.strip().lower() for word in encoded.dictionary.to_pylist()]
    bad = [index for index, word in enumerate(words) if word not in _BOOLS]
    if bad:
        raise NotOfKind(int(np.flatnonzero(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False) == bad[0])[0]))
    values = pa.array([bool(_BOOLS[word]) for word in words], pa.bool_())
    return values.take(encoded.indices)


def _lists(cells: pa.Array) -> pa.Array:
    """Cells that hold JSON lists of numbers, or of texts."""
    starts = pc.starts_with(pc.utf8_ltrim_whitespace(cells), "[").fill_null(True)
    if not starts.true_count == len(cells):
        raise NotOfKind(int(np.flatnonzero(~starts.to_numpy(zero_copy_only=False))[0]))
    lists: list[list[Any] | None] = []
    kinds: set[type] = set()
    for row, cell in enumerate(cells.to_pylist()):
        if cell is None:
            lists.append(None)
            continue
        try:
            value = msgspec.json.decode(cell)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            raise NotOfKind(row) from None
        new = set(map(type, value))
        kinds |= new
        if not (kinds <= {int, float, type(None)} or kinds <= {str, type(None)}):
            raise NotOfKind(row)
        if int in new and any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in value):
            raise NotOfKind(row)
        lists.append(value)
    kinds.discard(type(None))
    if str in kinds:
        return pa.array(lists, pa.large_list(pa.large_string())).cast(pa.large_list(pa.large_binary()))
    element = pa.float64() if float in kinds else pa.int64() if kinds else pa.null()
    return pa.array(lists, pa.large_list(element))
