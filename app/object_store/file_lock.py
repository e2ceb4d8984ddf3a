"""Files of the cache in use: a shared lock for each user, of any process, that ends with its process at the latest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from app.errors import Unavailable

_AGAIN_S = 0.05


class FileLock:
    """A lock on a file that may be removed by whoever holds it alone."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    @classmethod
    def take(cls, path: Path, *, alone: bool = False, wait_s: float = 0.0) -> FileLock | None:
        """The lock, with others or alone; None when another process has it for longer than `wait_s`."""
        deadline = time.monotonic() + wait_s
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                if _is(path, descriptor):
                    return cls(path, descriptor)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    return None
                time.sleep(_AGAIN_S)
            os.close(descriptor)  # it was removed between opening and locking it, or is another's

    def release(self, *, remove: bool = False) -> None:
        """Gives it back. `remove`: with its file, by whoever has it alone."""
        if self._descriptor < 0:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        self.release()  # of an answer that was broken off


def _is(path: Path, descriptor: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def take_patiently(path: Path, *, alone: bool = False, wait_s: float) -> FileLock:
    """As `FileLock.take`. Raises Unavailable instead of giving None."""
    lock = FileLock.take(path, alone=alone, wait_s=wait_s)
    if lock is None:
        raise Unavailable("Another process is fetching the same artifact for too long.", retry_after_s=5.0)
    return lock
