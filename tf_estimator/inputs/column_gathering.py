"""The rows of a window, taken out of columns in numpy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import zero_copy
from .memory_map import CHUNK_BYTES, RowSelection, drop_pages

#: An array is read from front to back first where at least this part of its rows is wanted.
_READ_THROUGH = 1 / 16

#: What the processor reads at once.
_LINE_BYTES = 64


def gather_batches(
    arrays: Sequence[Any],
    places: Sequence[int],
    rows: RowSelection,
    size: int,
    dtype: Any,
    memory: zero_copy.ReusedMemory,
    stopped: threading.Event | None = None,
) -> Any:
    """Scalar columns of some rows, each column's batch by batch.

    All numbers of a column lie side by side, as they come out of it: laying them out by batch or by row here would take
    longer than the step takes to find those of its batch.

    Args:
        arrays: the columns, `[n]` each.
        places: where each column goes: 0, 1 … in any order.
        rows: of all batches.
        size: rows per batch; a smaller batch comes alone.
        dtype: of the result.
        memory: for the result.
        stopped: ends the work early when it is set; the result is then not complete.

    Returns:
        `[columns, batches, size]`.
    """
    count = len(rows.rows)
    size = min(size, count)
    made = memory.empty((len(arrays), count // size, size), dtype)
    taker = _Taker(rows, dtype)
    for place, array in zip(places, arrays, strict=True):
        if stopped is not None and stopped.is_set():
            break
        taker.take(array, made[place].reshape(-1))
    return made


class _Taker:
    """Takes the same rows out of columns.

    Args:
        rows: which.
        dtype: of what they become.
    """

    def __init__(self, rows: RowSelection, dtype: Any) -> None:
        self._rows, self._dtype = rows, dtype
        self._index = np.asarray(rows.rows, np.intp)
        self._copy: Any = None

    def take(self, array: Any, out: Any) -> None:
        """Writes the rows of a column `[n]` to `out`."""
        mapped = isinstance(array, np.memmap)
        if mapped and array.nbytes > CHUNK_BYTES:
            out[:] = self._rows.take(array)
        elif len(out) < _READ_THROUGH * len(array):
            out[:] = np.take(array, self._index)
        else:
            # Rows in random order touch each line of the column, which the processor can't foresee. So it is read
            # through first, and the rows are taken out of the processor's cache; "raise" would take into a buffer.
            np.take(self._read(np.asarray(array)), self._index, out=out, mode="clip")
        if mapped:
            drop_pages(array)

    def _read(self, array: Any) -> Any:
        """The column, each line of which was just read; where it is laid out otherwise, a copy of it."""
        if array.dtype == self._dtype and array.flags.c_contiguous:
            lines = array[:: _LINE_BYTES // array.itemsize]
            with np.errstate(all="ignore"):
                (np.add if array.dtype.kind == "f" else np.bitwise_or).reduce(lines)
            return array
        if self._copy is None:
            self._copy = np.empty(len(array), self._dtype)
        np.copyto(self._copy, array)
        return self._copy


def gather_sequences(values: Any, splits: Any, rows: Any) -> list[Any]:
    """Values and splits of the sequences of some rows."""
    starts, ends = RowSelection(rows).take(splits), RowSelection(np.asarray(rows) + 1).take(splits)
    lengths = np.asarray(ends - starts, np.int64)
    made = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.repeat(starts - made[:-1], lengths) + np.arange(made[-1])
    return [RowSelection(index).take(values), made]
