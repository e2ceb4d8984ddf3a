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


def gather_batches(
    arrays: Sequence[Any],
    places: Sequence[int],
    rows: RowSelection,
    size: int,
    dtype: Any,
    stopped: threading.Event | None = None,
) -> Any:
    """Scalar columns of some rows, batch by batch.

    A column's numbers of one batch lie side by side, as they come out of the column. Laying them out row by row here
    would take longer than all the rest; the step does it, with a batch that is in the processor's cache.

    Args:
        arrays: the columns, `[n]` each.
        places: where each column goes.
        rows: of all batches.
        size: rows per batch; a smaller batch comes alone.
        dtype: of the result.
        stopped: ends the work early when it is set; the result is then not complete.

    Returns:
        `[batches, columns, size]`.
    """
    count = len(rows.rows)
    size = min(size, count)
    made = zero_copy.empty((count // size, len(arrays), size), dtype)
    index = np.asarray(rows.rows, np.intp)
    taken, copy = np.empty(count, dtype), None
    for array, place in zip(arrays, places, strict=True):
        if stopped is not None and stopped.is_set():
            break
        mapped = isinstance(array, np.memmap)
        if mapped and array.nbytes > CHUNK_BYTES:
            values = rows.take(array)
        elif count < _READ_THROUGH * len(array):
            values = np.take(array, index)
        else:
            # Rows in random order touch each line of the column, which the processor can't foresee; of a copy that was
            # just made they are taken out of its cache. It also brings the bytes into the machine's order.
            copy = np.empty(len(array), dtype) if copy is None else copy
            np.copyto(copy, array)
            values = np.take(copy, index, out=taken, mode="clip")  # "raise" would take into a buffer first
        if mapped:
            drop_pages(array)
        made[:, place, :] = values.reshape(-1, size)
    return made


def gather_sequences(values: Any, splits: Any, rows: Any) -> list[Any]:
    """Values and splits of the sequences of some rows."""
    starts, ends = RowSelection(rows).take(splits), RowSelection(np.asarray(rows) + 1).take(splits)
    lengths = np.asarray(ends - starts, np.int64)
    made = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.repeat(starts - made[:-1], lengths) + np.arange(made[-1])
    return [RowSelection(index).take(values), made]
