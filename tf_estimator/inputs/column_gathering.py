"""The rows of a window, taken out of columns in numpy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import zero_copy
from .memory_map import CHUNK_BYTES, RowSelection, drop_pages

#: Columns are laid out so many at a time, and so many bytes of them: what stays in the processor's cache.
_TOGETHER, _TOGETHER_BYTES = 16, 1 << 20

#: An array is read from front to back first where at least this part of its rows is wanted.
_READ_THROUGH = 1 / 16


def gather_batches(
    arrays: Sequence[Any],
    places: Sequence[int],
    rows: RowSelection,
    size: int,
    dtype: Any,
    memory: zero_copy.ReusedMemory,
    stopped: threading.Event | None = None,
) -> Any:
    """Scalar columns of some rows, batch by batch.

    A column's numbers of one batch lie side by side, as they come out of the column. Laying them out row by row here
    would take longer than all the rest; the step does it, with a batch that is in the processor's cache. Several
    columns go to their places at once: each batch is in pages of its own, and finding these takes as long as writing.

    Args:
        arrays: the columns, `[n]` each.
        places: where each column goes: 0, 1 … in any order.
        rows: of all batches.
        size: rows per batch; a smaller batch comes alone.
        dtype: of the result.
        memory: for the result.
        stopped: ends the work early when it is set; the result is then not complete.

    Returns:
        `[batches, columns, size]`.
    """
    count = len(rows.rows)
    size = min(size, count)
    made = memory.empty((count // size, len(arrays), size), dtype)
    together = max(min(_TOGETHER, _TOGETHER_BYTES // max(count * made.itemsize, 1), len(arrays)), 1)
    taken = np.empty((together, count), dtype)
    taker = _Taker(rows, dtype)
    placed = sorted(zip(places, arrays, strict=True), key=lambda pair: pair[0])
    for first in range(0, len(placed), together):
        if stopped is not None and stopped.is_set():
            break
        group = placed[first : first + together]
        for number, (_, array) in enumerate(group):
            taker.take(array, taken[number])
        by_column = taken[: len(group)].reshape(len(group), -1, size)
        made[:, first : first + len(group), :] = by_column.transpose(1, 0, 2)
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
            # Rows in random order touch each line of the column, which the processor can't foresee; of a copy that was
            # just made they are taken out of its cache. It also brings the bytes into the machine's order.
            if self._copy is None:
                self._copy = np.empty(len(array), self._dtype)
            np.copyto(self._copy, array)
            np.take(self._copy, self._index, out=out, mode="clip")  # "raise" would take into a buffer first
        if mapped:
            drop_pages(array)


def gather_sequences(values: Any, splits: Any, rows: Any) -> list[Any]:
    """Values and splits of the sequences of some rows."""
    starts, ends = RowSelection(rows).take(splits), RowSelection(np.asarray(rows) + 1).take(splits)
    lengths = np.asarray(ends - starts, np.int64)
    made = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.repeat(starts - made[:-1], lengths) + np.arange(made[-1])
    return [RowSelection(index).take(values), made]
