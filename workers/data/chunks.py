"""Columns that may be larger than memory: read piece after piece, and made piece after piece. numpy only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.datasets.npy import NpyFile, drop_pages, open_npy
from app.datasets.table import Column, SequenceColumn, StringColumn

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64] | None
"""Row numbers, ascending; None for all rows."""

IN_MEMORY_BYTES = 64 * 2**20
CHUNK = 1 << 18
_RELEASE_EVERY = 16
"""Pieces whose pages of mapped files stay resident at a time."""


class Scratch:
    """Makes arrays: in memory while IN_MEMORY_BYTES last for all of them together, else as files that are mapped for
    reading. The files are in `directory` and die with it."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._number = directory, 0
        self._left = IN_MEMORY_BYTES

    def store(
        self, parts: Iterable[Array], most: int, dtype: Any, shape: tuple[int, ...] = (), *, as_file: bool = False
    ) -> Array:
        """The parts, one after the other: [rows, *shape].

        Args:
            most: rows that may come, at most.
            shape: of a row.
            as_file: whatever is left of the memory.
        """
        dtype, width = np.dtype(dtype), int(np.prod(shape, dtype=np.int64))
        size = most * width * dtype.itemsize
        if size <= self._left and not as_file:
            self._left -= size
            return _filled(np.empty((most, *shape), dtype), parts)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._number += 1
        file = NpyFile(self._directory / f"{self._number}.npy", dtype, width if shape else None)
        for part in parts:
            file.append(part.reshape(len(part), -1) if shape else part)
        file.close()
        stored = open_npy(file.path)
        return stored.reshape(len(stored), *shape) if shape else stored


def _filled(array: Array, parts: Iterable[Array]) -> Array:
    """The rows of `array` that the parts fill."""
    count = 0
    for part in parts:
        array[count : count + len(part)] = part
        count += len(part)
    return array[:count]


def pieces(count: int, rows: Rows, read: Iterable[Any], size: int | None = None) -> Iterator[Any]:
    """Index expressions that together take all of `count` rows (slices), or the chosen ones (parts of `rows`).

    Args:
        read: the arrays that are read with them; their pages are let go now and then.
        size: rows of one; CHUNK if None.
    """
    used = [*read] if rows is None else [*read, rows]
    total, size = count if rows is None else len(rows), size or CHUNK
    for number, start in enumerate(range(0, total, size), 1):
        some = slice(start, min(start + size, total))
        yield some if rows is None else rows[some]
        if number % _RELEASE_EVERY == 0 or some.stop == total:
            for array in used:
                drop_pages(array)


def arrays(column: Column) -> list[Any]:
    """All arrays of a column."""
    if isinstance(column, SequenceColumn):
        return [column.row_splits, *arrays(column.values)]
    if isinstance(column, StringColumn):
        found = [column.codes, column.offsets, column.data, column.nulls]
    else:
        found = [column.values, column.nulls]
    return [array for array in found if array is not None]


def where(count: int, rows: Rows, read: Iterable[Any], wrong: Callable[[Any], Array]) -> tuple[int, int]:
    """The first row (counted from 0) of which `wrong` says so, and how many there are; (-1, 0) when there is none.

    Args:
        wrong: index expression → bool for each of its rows.
    """
    first, number = -1, 0
    for some in pieces(count, rows, read):
        places = np.flatnonzero(wrong(some))
        if len(places) and not number:
            first = int(places[0]) + some.start if isinstance(some, slice) else int(some[places[0]])
        number += len(places)
    return first, number


def null_mask(column: Column, some: Any) -> Array:
    """bool, which of the rows that an index expression takes have no value; an empty list is a value."""
    if isinstance(column, SequenceColumn):
        return np.zeros(some.stop - some.start if isinstance(some, slice) else len(some), np.bool_)
    if isinstance(column, StringColumn):
        return np.asarray(column.is_null(some))
    if column.nulls is None:
        return np.zeros(len(column.values[some]), np.bool_)
    return np.asarray(column.nulls[some] != 0)
