"""Several readers of one file, each with a place of its own."""

from __future__ import annotations

import io
import threading
from typing import Any, BinaryIO


class SharedFile:
    """Arrow reads ahead in threads of its own, so nobody may rely on the file's one position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def view(self, start: int = 0) -> io.BufferedReader:
        """The file from byte `start` on, as a file of its own. Closing it leaves the shared one open."""
        return io.BufferedReader(_View(self, start), 1 << 16)

    def read_at(self, position: int, buffer: Any) -> int:
        """Fills a buffer; returns how many bytes there were for it."""
        with self._lock:
            self._file.seek(position)
            return self._file.readinto(buffer)  # type: ignore[attr-defined,no-any-return]


class _View(io.RawIOBase):
    def __init__(self, shared: SharedFile, position: int) -> None:
        super().__init__()
        self._shared = shared
        self._position = position

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._shared.read_at(self._position, buffer)
        self._position += size
        return size
