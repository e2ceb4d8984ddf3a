"""The trainer: an exec'd process that has imported TensorFlow and runs one attempt after the other.

    python -m workers.trainer              for jobs of one worker, one after the other
    python -m workers.trainer --member     for one attempt together with other workers

A worker's pool child starts it and exchanges messages with it over standard input and output
(`worker/trainer_protocol.py`). Output of Python and TensorFlow during an attempt goes to that attempt's log. The
process ends with its parent.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from app.process import (
    NOT_FOR_MODELS,
    SYSTEM_ALLOCATOR,
    die_with_parent,
    give_memory_back,
    let_go_of_file_pages,
    without,
)
from workers import memory

if TYPE_CHECKING:
    from app.registry.jobs.attempts import Claim
    from app.storage import Storage


_IDLE_S = 0.5
_MOST_GARBAGE = 64 << 20
"""Bytes that a trainer may hold more than after it last gave memory back, when its parent measures it."""


class Parent:
    """The pool child. Its messages are read in a thread, because an attempt can be stopped while it runs."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._in, self._out = incoming, outgoing
        self.attempts: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.drain = threading.Event()
        self.busy = False
        threading.Thread(target=self._read, name="parent", daemon=True).start()

    def say(self, message: dict[str, Any]) -> None:
        self._out.write(json.dumps(message).encode() + b"\n")
        self._out.flush()

    def _read(self) -> None:
        for line in self._in:
            message = json.loads(line)
            if "run" in message:
                self.attempts.put(message)
            elif "drain" in message:
                self.drain.set()
        if self.busy:
            os._exit(1)  # whoever answers for the attempt is gone
        self.attempts.put(None)


@contextmanager
def attempt_log(path: Path) -> Iterator[None]:
    """Sends this process' standard output and error to a file while an attempt runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("ab", buffering=0) as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)


def _set_up_logging(level: str, source: str = "") -> None:
    """Lines of Python's loggers in the attempt's log, with their time (UTC), and with `source` before the message."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ %(levelname)s {source}%(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(lambda record: record.filename != "deprecation.py")  # of TensorFlow: nothing a user could do
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("absl").setLevel(logging.WARNING)
    logging.getLogger("tensorflow").handlers.clear()  # its own one would write each line once more


def _log_path(storage: Storage, claim: Claim) -> Path:
    number = 0 if claim.gang is None else claim.gang.number
    *_, key = storage.log_keys(claim.job_id, claim.attempt, number + 1)
    return storage.path(key)


def next_attempt(parent: Parent) -> dict[str, Any] | None:
    """What the parent sends; memory is given back where that takes a while, and not between two small jobs: looking for
    garbage takes as long as a tenth of one."""
    try:
        return parent.attempts.get(timeout=_IDLE_S)
    except queue.Empty:
        give_memory_back()
        return parent.attempts.get()


def without_much_garbage(held: int) -> int:
    """Gives memory back before the parent measures what this process holds, if that is much more than it `held` when it
    last did; what it held then, or holds now."""
    if memory.held_bytes(os.getpid()) <= held + _MOST_GARBAGE:
        return held
    give_memory_back()
    return memory.held_bytes(os.getpid())


def run_attempts(parent: Parent, *, member: bool) -> None:
    """Runs the attempts that the parent sends, until it closes the pipe. TensorFlow is imported here.

    Args:
        member: for an attempt of several workers. TensorFlow joins a cluster before its first operation, so there is no
            warm-up.
    """
    gc.disable()  # meanwhile: nothing is garbage yet, and looking for it took a quarter of the import
    with without(NOT_FOR_MODELS):  # a model_fn of the catalogue may import them
        import tf_estimator  # noqa: F401
    from app.artifact_store import open_storage
    from app.config import Settings
    from app.errors import Unavailable
    from app.registry.db import Database, make_engine
    from app.traces import Trace, make_tracing
    from workers.attempt.attempt_mirror import AttemptMirror
    from workers.estimator_json import model_fns
    from workers.jobs import job_devices
    from workers.trainer import runner, warm_up
    from workers.worker.trainer_protocol import claim_from_json

    settings = Settings()
    _set_up_logging(settings.log_level)
    database, storage = Database(make_engine(settings)), open_storage(settings)
    tracing = make_tracing(settings, "estimator-trainer")
    job_devices.split_cpu(settings.slot_devices)
    if not member:
        warm_up.warm_up()
    try:
        model_fns.announce(database)
    except Unavailable:
        logging.getLogger(__name__).warning("The registry does not answer; the catalogue is announced another time.")
    let_go_of_file_pages()
    gc.freeze()  # a full collection would look at all that was imported, in the middle of a training
    gc.enable()
    parent.say({"ready": True})
    held = memory.held_bytes(os.getpid())
    while (message := next_attempt(parent)) is not None:
        parent.busy = True
        claim = claim_from_json(message["run"])
        attempt = {"job_id": claim.job_id, "attempt": claim.attempt}
        if claim.gang is not None:
            _set_up_logging(settings.log_level, f"worker {claim.gang.number}: ")
        key = storage.attempt_key(claim.job_id, claim.attempt)
        with AttemptMirror(storage, key), attempt_log(_log_path(storage, claim)):
            outcome = runner.run(
                claim,
                database,
                storage,
                settings,
                drain=parent.drain.is_set,
                started=partial(parent.say, {"started": True, **attempt}),
                timings=message["timings"],
                trace=Trace(tracing, message.get("traceparent")),
            )
        parent.busy = False
        if tracing is not None:
            tracing.flush()
        held = without_much_garbage(held)
        parent.say({"ended": outcome, **attempt})


def main() -> None:
    die_with_parent()
    # Standard output belongs to the protocol: whatever libraries print goes to standard error instead.
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "1", **SYSTEM_ALLOCATOR, **os.environ})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent says when to stop
    status = 1
    try:
        run_attempts(Parent(sys.stdin.buffer, outgoing), member="--member" in sys.argv[1:])
        status = 0
    except Exception:
        traceback.print_exc()
    # Not by returning: the interpreter would abort, for the thread that reads holds the lock of standard input.
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
