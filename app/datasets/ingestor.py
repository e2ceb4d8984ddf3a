"""Uploaded files are read by child processes: a file that crashes a parser's native code, or eats memory, takes down
its own upload and nothing else.

Starting a child costs half a second of imports, so one is started when an upload begins to arrive, and serves upload
after upload until none has come for a while; every file goes through it, for a small one can be as hostile as a big
one. A child that read a big file, or met an error that was not foreseen, is replaced.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from app.datasets.limits import Limits
from app.errors import FieldError, InvalidInput, Timeout, TooLarge, UnsupportedMedia

MEMORY_BYTES = 2 * 2**30
TIMEOUT_S = 3600.0
IDLE_S = 30.0
"""So long a child waits for the next upload; it holds 65 MB."""
_KEEP_UP_TO = 64 * 2**20
"""Bytes of a file after which a child's memory may be left in pieces."""
_SIGN_EVERY_S = 1.0
"""A directory that nothing happens in is taken for one that nobody fills, but the first pass over a file writes
nothing: so the directory gets a new time of change now and then."""
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Arrow's own allocator reserves far more than it uses, which the memory limit would count."""
_REPORTED = {kind.__name__: kind for kind in (InvalidInput, TooLarge)}
_DIED = (
    "The file made its reader crash: it is damaged, or needs more memory than there is. Nothing was stored. Check the "
    "file, or write it anew in smaller row groups or with shorter lines."
)
_TOO_MUCH_MEMORY = "The file needs more memory than its reader may use. Write it in smaller row groups or lists."


@dataclasses.dataclass(frozen=True)
class Ingested:
    """As `app.datasets.ingest.IngestedDataset`, which only the child imports."""

    digest: str
    format: str
    rows: int
    bytes: int
    columns: list[dict[str, Any]]
    warnings: list[str] = dataclasses.field(default_factory=list)


class Ingestor:
    """Thread-safe; makes as many children as there are uploads at once and keeps one.

    Args:
        memory_bytes: what a child may hold (on Linux).
        timeout_s: what one file may take.
        command: starts a child; another one in tests.
        idle_s: how long a child waits for the next upload.
    """

    def __init__(
        self,
        memory_bytes: int = MEMORY_BYTES,
        timeout_s: float = TIMEOUT_S,
        command: list[str] | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self._command = command or [sys.executable, "-m", "app.datasets.ingest_process", str(memory_bytes)]
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle_s = idle_s
        self._rest: threading.Timer | None = None
        self._idle: subprocess.Popen[bytes] | None = None

    def warm(self) -> None:
        """Starts a child if none waits; it gets ready by itself."""
        with self._lock:
            if self._idle is None or self._idle.poll() is not None:
                self._idle = self._start()
            self._wait_for_next()

    def close(self) -> None:
        with self._lock:
            if self._idle is not None:
                _end(self._idle)
                self._idle = None
            if self._rest is not None:
                self._rest.cancel()

    def _wait_for_next(self) -> None:
        """From now on the idle child has its time; the lock is held."""
        if self._rest is not None:
            self._rest.cancel()
        self._rest = threading.Timer(self._idle_s, self.close)
        self._rest.daemon = True
        self._rest.start()

    def ingest(
        self, file: Path, filename: str, directory: Path, limits: Limits, schema: dict[str, Any] | None = None
    ) -> Ingested:
        """`app.datasets.ingest.ingest` in a child.

        Raises:
            InvalidInput, TooLarge, UnsupportedMedia: as there; InvalidInput also when the child died of the file.
            Timeout: it took too long.
            OSError: the disk is full, for example.
        """
        request = {
            "file": str(file),
            "filename": filename,
            "directory": str(directory),
            "limits": dataclasses.asdict(limits),
            "schema": schema,
        }
        child = self._take()
        keep = False
        try:
            answer = self._ask(child, request)
            keep = file.stat().st_size <= _KEEP_UP_TO and answer.get("error", {}).get("type") in (None, *_EXPECTED)
        finally:
            self._give_back(child, keep)
        if "error" in answer:
            raise _error(answer["error"])
        return Ingested(**answer["made"])

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=os.environ | ENVIRONMENT,
        )

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            child, self._idle = self._idle, None
        if child is not None and child.poll() is None:
            return child
        if child is not None:
            _end(child)
        return self._start()

    def _give_back(self, child: subprocess.Popen[bytes], keep: bool) -> None:
        with self._lock:
            if keep and self._idle is None:
                self._idle = child
                self._wait_for_next()
                return
        _end(child)
        self.warm()

    def _ask(self, child: subprocess.Popen[bytes], request: dict[str, Any]) -> dict[str, Any]:
        assert child.stdin is not None
        assert child.stdout is not None
        deadline = time.monotonic() + self._timeout_s
        directory = request["directory"]
        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise InvalidInput.at("/file", _DIED) from None
        pieces: list[bytes] = []
        while not (pieces and pieces[-1].endswith(b"\n")):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([child.stdout], [], [], min(left, _SIGN_EVERY_S))[0]:
                if left > 0.0:
                    os.utime(directory)
                    continue
                raise Timeout(f"The file was not read within {self._timeout_s:g} s. Split it into several data sets.")
            piece = os.read(child.stdout.fileno(), 1 << 20)
            if not piece:
                raise InvalidInput.at("/file", _DIED)
            pieces.append(piece)
        answer: dict[str, Any] = json.loads(b"".join(pieces))
        return answer


_EXPECTED = (*_REPORTED, UnsupportedMedia.__name__)


def _error(reply: dict[str, Any]) -> Exception:
    kind = reply["type"]
    if kind in _REPORTED:
        return _REPORTED[kind](reply["detail"], [FieldError(*place) for place in reply["errors"]])
    if kind == UnsupportedMedia.__name__:
        return UnsupportedMedia(reply["detail"])
    if kind == "MemoryError":
        return TooLarge.at("/file", _TOO_MUCH_MEMORY)
    if kind == "OSError":
        return OSError(reply["errno"], os.strerror(reply["errno"] or 0))
    return RuntimeError("The reader of uploaded files failed; see its standard error.")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


INGESTOR = Ingestor()
"""The process's own."""
atexit.register(INGESTOR.close)
