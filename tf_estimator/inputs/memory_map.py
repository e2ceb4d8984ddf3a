"""Memory that is given back: pages of memory-mapped files that were read, and freed arrays.

A page that was read counts as resident memory until the system runs short of it. So what is read of a mapped file is
read chunk by chunk, and the pages of each chunk are released. Any other array is read as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

CHUNK_BYTES = 1 << 25
"""Of a mapped file that are resident at a time, about."""


def drop_pages(array: Any) -> None:
    """Lets go of the pages of a read-only mapped file; they come back from the file when they are read again."""
    file = getattr(array, "_mmap", None)
    if isinstance(file, mmap.mmap) and isinstance(array, np.memmap) and array.mode in ("r", "c"):
        with contextlib.suppress(OSError, ValueError):  # closed, or a system that has no such advice
            file.madvise(mmap.MADV_DONTNEED)


def return_freed_memory() -> None:
    """Gives freed memory back to the system; glibc keeps that of arrays up to 32 MB for the next ones otherwise."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def chunks(array: Any) -> Iterator[Any]:
    """The array in parts, front to back; a part's pages are let go when the next one is asked for."""
    step = max(CHUNK_BYTES * len(array) // max(array.nbytes, 1), 1)
    for start in range(0, len(array), step):
        yield array[start : start + step]
        drop_pages(array)


class RowSelection:
    """Row numbers that are taken out of several arrays.

    Args:
        rows: int `[n]`, in any order.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self._sorted: tuple[Any, Any] | None = None

    def take(self, array: Any) -> Any:
        """`array[rows]`. Of a big mapped file the rows are read in the file's order."""
        if not isinstance(array, np.memmap) or array.nbytes <= CHUNK_BYTES:
            taken = np.take(array, self.rows, axis=0)  # faster than an index
            drop_pages(array)
            return taken
        if self._sorted is None:
            positions = np.argsort(self.rows, kind="stable")
            self._sorted = positions, self.rows[positions]
        positions, ordered = self._sorted
        taken = np.empty((len(ordered), *array.shape[1:]), array.dtype)
        step = max(CHUNK_BYTES * len(array) // array.nbytes, 1)
        bounds = np.searchsorted(ordered, np.arange(0, len(array) + step, step))
        for begin, end in itertools.pairwise(bounds.tolist()):
            if end > begin:
                taken[positions[begin:end]] = array[ordered[begin:end]]
                drop_pages(array)
        return taken
