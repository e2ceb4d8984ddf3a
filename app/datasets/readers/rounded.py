"""Numbers that their column, which is float32, does not hold: the first of each column, for a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.chunk import Where
from app.datasets.readers.integer_cells import may_be_rounded, rounded_integers
from app.datasets.upload_schema import Schema
from app.errors import quote_name

_HEAD = 64

_Written = Callable[[list[int]], Iterable[tuple[int, Any]]]


class RoundedNumbers:
    """Follows the columns of a file that has integers and floats, JSON lines or Parquet.

    What a column's type will be is known at the end of the file only. A column whose type the schema gives is left
    alone: who says float32 has been told that it rounds.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        #: column → place of the first integer that float32 would round
        self._integers: dict[str, str] = {}
        #: column → place of the first whole number among floats that it would round
        self._whole: dict[str, str] = {}
        #: columns in which some number has a fraction
        self._fractions: set[str] = set()

    def add(self, name: str, array: pa.Array, where: Where, written: _Written | None = None) -> None:
        """Takes the next cells of a column.

        Args:
            array: in a chunk's types.
            where: see `Chunk`.
            written: which of some rows, in their order, may have integers where `array` has floats, and the value of
                each as the file has it; None: none of them.
        """
        if self._schema[name].dtype is not None or name in self._integers:
            return
        flat = pc.list_flatten(array) if pa.types.is_large_list(array.type) else array
        if flat.type == pa.int64():
            rows = self._rows(array, rounded_integers(_numbers(flat)))
        elif flat.type == pa.float64():
            rows = self._rows(array, may_be_rounded(_numbers(flat)))
            self._add_floats(name, flat, rows, where)
            values = () if written is None or not rows else written(rows)
            rows = next(([row] for row, value in values if _has_rounded(value)), [])
        else:
            return
        if len(rows):
            self._integers[name] = where(int(rows[0]))

    def _rows(self, array: pa.Array, chosen: np.ndarray[Any, Any]) -> list[int]:
        places = np.flatnonzero(chosen)
        if len(places) and pa.types.is_large_list(array.type):
            places = np.unique(pc.list_parent_indices(array).to_numpy()[places])
        found: list[int] = places.tolist()
        return found

    def _add_floats(self, name: str, flat: pa.Array, rows: list[int], where: Where) -> None:
        if name in self._fractions:
            return
        numbers = _numbers(flat)
        if not _are_whole(numbers[:_HEAD]) or not _are_whole(numbers):
            self._fractions.add(name)
        elif rows and name not in self._whole:
            self._whole[name] = where(rows[0])

    def warnings(self, what: str, floats: dict[str, str]) -> list[str]:
        """A sentence for each column that has become float32.

        Args:
            what: a column is called in the file.
            floats: column that became float32 → the place of its first number that is not written as an integer.
        """
        found = []
        for name, place in floats.items():
            if self._schema[name].dtype is not None:
                continue
            if name in self._integers:
                found.append(
                    f"{self._integers[name]}, {what} {quote_name(name)}: an integer of more digits than float32 keeps, "
                    f"which the column is since a number ({place}) is not written as an integer. Write all of them as "
                    "integers, or as text if they are codes."
                )
            elif name in self._whole and name not in self._fractions:
                found.append(
                    f"{self._whole[name]}, {what} {quote_name(name)}: a whole number of more digits than float32 "
                    "keeps, which the column is since its numbers are not written as integers, though all of them are "
                    "whole. Write them as integers, or as text if they are codes."
                )
        return found


def _numbers(values: pa.Array) -> np.ndarray[Any, Any]:
    """0 for a null."""
    numbers: np.ndarray[Any, Any] = (values.fill_null(0) if values.null_count else values).to_numpy(False)
    return numbers


def _are_whole(numbers: np.ndarray[Any, Any]) -> bool:
    return bool(((np.floor(numbers) == numbers) | np.isnan(numbers)).all())


def _has_rounded(value: Any) -> bool:
    """Whether a JSON value is, or has in its list, an integer that float32 rounds."""
    if isinstance(value, list):
        return any(map(_has_rounded, value))
    return type(value) is int and int(np.float32(value)) != value
