""".npy files that grow by appending, and their reading through memory maps."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path
from typing import Any

import numpy as np

_HEADER_BYTES = 128  # room for any shape that we write; a multiple of 64, as the format wants


# 10,000 columns of two files hold 160 MB at most, and usually a tenth of it.
_BUFFER_BYTES = 1 << 13


class NpyFile:
    """One array on disk, written front to back. The file is open only while a chunk is written, so that thousands
    of columns need no more than one descriptor; small chunks are gathered in memory first.
    """

    def __init__(self, path: Path, dtype: Any, width: int | None = None) -> None:
        """`width`: elements of the second dimension; None makes a vector."""
        self.path = path
        self.dtype = np.dtype(dtype)
        self.width = width
        self.rows = 0
        self._waiting: list[bytes | memoryview] = []
        self._waiting_bytes = 0
        self._started = False

    def append(self, values: np.ndarray[Any, Any]) -> None:
        """Adds `values`, cast to the file's dtype; shape [n] or [n, width]."""
        self.rows += len(values)
        data = np.ascontiguousarray(values, self.dtype)
        self._waiting_bytes += data.nbytes
        if self._waiting_bytes >= _BUFFER_BYTES:
            self._waiting.append(data.reshape(-1).view(np.uint8).data)
            self._flush()
        else:
            self._waiting.append(data.tobytes())

    def append_zeros(self, count: int) -> None:
        """Adds `count` rows of zeros."""
        step = 1 << 18
        for start in range(0, count, step):
            rows = min(step, count - start)
            self.append(np.zeros(rows if self.width is None else (rows, self.width), self.dtype))

    def _flush(self) -> None:
        with self.path.open("ab") as file:
            if not self._started:
                file.write(self._header())
                self._started = True
            file.writelines(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _header(self) -> bytes:
        shape = (self.rows,) if self.width is None else (self.rows, self.width)
        text = repr({"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape})
        magic = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
        return magic + text.encode("ascii").ljust(_HEADER_BYTES - 11) + b"\n"

    def close(self) -> None:
        """Writes what waits, and the true shape into the header."""
        self._flush()
        with self.path.open("r+b") as file:
            file.write(self._header())

    def chunks(self, rows: int = 1 << 18) -> Any:
        """Iterates over what was written so far in arrays of at most `rows` rows, by reads and not through a map."""
        if self._waiting:
            self._flush()
        yield from read_chunks(self.path, self.dtype, self.width, rows)

    def remove(self) -> None:
        """Forgets the content."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self.path.unlink(missing_ok=True)


def read_chunks(path: Path, dtype: Any, width: int | None, rows: int) -> Any:
    """Yields the array at `path` (written by NpyFile) in pieces of at most `rows` rows; a path without a file is an
    empty array. Reads, because the pages of a memory map would count as this process' memory.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(_HEADER_BYTES)
        while True:
            part = np.fromfile(file, dtype, rows * (width or 1))
            if not part.size:
                return
            yield part if width is None else part.reshape(-1, width)


def open_npy(path: Path) -> np.ndarray[Any, Any]:
    """The array at `path`, memory-mapped read-only. An empty array cannot be mapped and is read."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except ValueError:
        array = np.load(path, allow_pickle=False)
        if array.size:
            raise
        return array  # type: ignore[no-any-return]


def drop_pages(array: Any) -> None:
    """Lets go of the pages of an array from `open_npy` that were read: they count as resident memory, and would stay
    until the system runs short of it. They come back from the file when they are read again."""
    file = getattr(array, "_mmap", None)
    if isinstance(file, mmap.mmap) and isinstance(array, np.memmap) and array.mode == "r":
        with contextlib.suppress(OSError, ValueError):  # closed, or a system that has no such advice
            file.madvise(mmap.MADV_DONTNEED)
