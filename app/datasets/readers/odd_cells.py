"""Cells that keep a column of truth values or lists from being one: one bad cell would make it a column of text."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.readers.first_bytes import matches
from app.datasets.readers.stray_cells import StrayCell, is_placeholder
from app.errors import quote_name

_BOOL = r"(?i)^\s*(true|false)\s*$"
_BLANKS = bytes(range(9, 14)) + bytes(range(28, 33))
_BEGIN_BOOL = _BLANKS + b"tTfF"
#: Blanks of Unicode, too.
_BEGIN_LIST = _BLANKS + b"[" + bytes(range(0x80, 0x100))
_GIVE_UP_BELOW = 0.5
#: Different other cells that a message's remedy may name, and that make a column of names rather than of truth values.
_MAX_WORDS = 3


@dataclass
class _Family:
    """Counts of the cells of a column that are of one family: truth values or lists."""

    good: int = 0
    odd: int = 0
    first: int = 0

    @property
    def settled(self) -> bool:
        """Whether the column is plainly something else."""
        return self.odd > 0 and self.good < _GIVE_UP_BELOW * (self.good + self.odd)

    def add(self, good: pa.Array, rows_before: int) -> None:
        """Takes a mask of the cells, null where there is none."""
        right = good.true_count
        wrong = len(good) - good.null_count - right
        if wrong and not self.odd:
            self.first = rows_before + pc.index(good, False).as_py()
        self.good += right
        self.odd += wrong


class OddCells:
    """Counts one column's truth values and lists, while the column may still be one of them.

    Other cells beside truth values may be names that belong there (`true`, `false`, `maybe`): the data set carries a
    warning. Signs for "no value", and whatever stands beside lists, are refused.
    """

    def __init__(self) -> None:
        self._bools, self._lists = _Family(), _Family()
        self._words: set[str] = set()

    @property
    def settled(self) -> bool:
        """Whether the column is plainly of neither; nothing more is counted."""
        return self._bools.settled and self._lists.settled

    def add_good(self, bools: bool, count: int) -> None:
        """Takes cells that were read as truth values, or else as lists."""
        (self._bools if bools else self._lists).good += count

    def add(self, cells: pa.Array, rows_before: int) -> None:
        """Takes cells (string, null for no value); `rows_before` is how many rows came before them."""
        if not self._bools.settled:
            good = matches(cells, _BEGIN_BOOL, lambda some: pc.match_substring_regex(some, _BOOL))
            self._bools.add(good, rows_before)
            if not self._bools.settled and len(self._words) <= _MAX_WORDS:
                others = cells.filter(pc.invert(good.fill_null(True))).unique().slice(0, _MAX_WORDS + 1)
                self._words.update(word.strip() for word in others.to_pylist())
        if not self._lists.settled:
            begins = matches(cells, _BEGIN_LIST, lambda some: pc.starts_with(pc.utf8_ltrim_whitespace(some), "["))
            if begins.true_count:
                begins = pa.array([None if cell is None else _is_list(cell) for cell in cells.to_pylist()], pa.bool_())
            self._lists.add(begins, rows_before)

    def problem(self, name: str) -> StrayCell | None:
        """The first odd cell of the column `name`; None for a column of text."""
        for family, kind in ((self._bools, "truth values"), (self._lists, "lists")):
            if family.good and family.odd and not family.settled:
                total = family.good + family.odd
                what = f"a cell that is none in a column of {kind} ({family.odd} of {total} cells are none)"
                placeholders = family is self._bools and all(map(is_placeholder, self._words))
                refused = family is self._lists or placeholders
                return StrayCell(family.first, what, self._remedy(name, family), refused)
        return None

    def _remedy(self, name: str, family: _Family) -> str:
        if family is self._lists:
            return "Correct it (a JSON list of numbers, or of texts) or leave it empty"
        if len(self._words) > _MAX_WORDS:
            return "Correct the cells or leave them empty"
        entry = {"columns": {quote_name(name)[1:-1]: {"null_values": sorted(self._words)}}}
        return f"Correct it, or say that it is no value: {json.dumps(entry, ensure_ascii=False)}"


def _is_list(cell: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(cell), list)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
