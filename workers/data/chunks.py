"""Columns that may be larger than memory, read and written chunk by chunk. numpy only."""

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
CHUNK_ROWS = 1 << 18
_RELEASE_EVERY = 16
"""Chunks whose pages of mapped files stay resident at a time."""


class ArraySpill:
    """Creates arrays: in memory up to IN_MEMORY_BYTES for all of them together, beyond that as memory-mapped files in
    `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._number = directory, 0
        self._left = IN_MEMORY_BYTES

    def store(
        self, parts: Iterable[Array], most: int, dtype: Any, shape: tuple[int, ...] = (), *, as_file: bool = False
    ) -> Array:
        """An array [rows, *shape] of the parts, one after the other.

        Args:
            most: largest number of rows.
            shape: shape of one row.
            as_file: write a file even if memory is left.
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


def chunks(count: int, rows: Rows, read: Iterable[Any], size: int | None = None) -> Iterator[Any]:
    """Index expressions that together cover all of `count` rows (slices), or the chosen ones (parts of `rows`).

    Args:
        read: arrays that are read with them; their pages are released regularly.
        size: rows per chunk; CHUNK_ROWS if None.
    """
    used = [*read] if rows is None else [*read, rows]
    total, size = count if rows is None else len(rows), size or CHUNK_ROWS
    for number, start in enumerate(range(0, total, size), 1):
        chunk = slice(start, min(start + size, total))
        yield chunk if rows is None else rows[chunk]
        if number % _RELEASE_EVERY == 0 or chunk.stop == total:
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
    """The first row (counted from 0) for which `wrong` is true, and the number of such rows; (-1, 0) without any.

    Args:
        wrong: index expression → bool [its rows].
    """
    first, number = -1, 0
    for chunk in chunks(count, rows, read):
        found = np.flatnonzero(wrong(chunk))
        if len(found) and not number:
            first = int(found[0]) + chunk.start if isinstance(chunk, slice) else int(chunk[found[0]])
        number += len(found)
    return first, number


def null_mask(column: Column, chunk: Any) -> Array:
    """bool [rows of the chunk]: rows without a value; an empty list is a value."""
    if isinstance(column, SequenceColumn):
        return np.zeros(chunk.stop - chunk.start if isinstance(chunk, slice) else len(chunk), np.bool_)
    if isinstance(column, StringColumn):
        return np.asarray(column.is_null(chunk))
    if column.nulls is None:
        return np.zeros(len(column.values[chunk]), np.bool_)
    return np.asarray(column.nulls[chunk] != 0)
