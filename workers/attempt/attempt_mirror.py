"""Logs and event files of a running attempt, sent to the object store now and then, so that other hosts can read them.

Checkpoints are published when they are complete (`RunningAttempt.record_checkpoint`), not here.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from app.errors import ServiceError
from app.storage import Storage

log = logging.getLogger(__name__)

EVERY_S = 5.0
_SHARE = 20
"""Between two rounds lies so many times what the last one took: a long log is sent less often."""
_NOT_SENT = re.compile(r"model\.ckpt-|checkpoint$|features\.json$|scratch$|predictions$|worker-\d+$|\.|.*\.tmp-")


class AttemptMirror:
    """Sends files of an attempt's directory that have changed.

    Args:
        key: of the directory.
    """

    def __init__(self, storage: Storage, key: str, *, every_s: float = EVERY_S) -> None:
        self._storage, self._key, self._every_s = storage, key, every_s
        self._sent: dict[Path, tuple[int, int]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def __enter__(self) -> AttemptMirror:
        if self._storage.remote:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Sends what is left; an outage of the store costs it, and no job."""
        if self._storage.remote:
            self._ended.set()
            self._thread.join()
            self.send()

    def send(self) -> None:
        """One round."""
        if not self._storage.remote:
            return
        top = self._storage.path(self._key)
        for file in _files(top):
            try:
                found = file.stat()
                state = found.st_size, found.st_mtime_ns
                if self._sent.get(file) != state:
                    self._storage.mirror(f"{self._key}/{file.relative_to(top).as_posix()}")
                    self._sent[file] = state
            except FileNotFoundError:
                continue
            except ServiceError as error:
                log.warning("The log is not sent: %s", error.detail)
                return

    def _run(self) -> None:
        pause = self._every_s
        while not self._ended.wait(pause):
            began = time.monotonic()
            self.send()
            pause = max(self._every_s, _SHARE * (time.monotonic() - began))


def _files(top: Path) -> Iterator[Path]:
    for path in sorted(top.iterdir()) if top.is_dir() else ():
        if path.is_symlink() or _NOT_SENT.match(path.name):
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path
