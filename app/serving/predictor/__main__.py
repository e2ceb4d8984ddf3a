"""The predictor process: holds SavedModels and runs them. TensorFlow lives here, so that it may die here.

Forked by the fork server (`… nursery PARENT FD`, see `app.serving.forkserver`), or started for itself
(`… alone PARENT THREADS ROWS FD`), FD being its end of a socket. Some threads take turns at it (`turns.py`), so that a
slow model does not hold up the others. Loads and unloads have a thread of their own.

A predictor of its own API process has one connection and ends with it. A pooled one (see `app.lanes`) is sent its
connections over a control socket, one after the other, and keeps its versions between them.
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from app.process import (
    NOT_FOR_MODELS,
    die_with_parent,
    fork_child_of,
    give_memory_back,
    let_go_of_file_pages,
    name_process,
    show_command,
)
from app.serving.forkserver import PID
from app.serving.predictor.turns import SLOW_S, ReadingTurn

if TYPE_CHECKING:
    from app.serving import protocol as messages
    from app.serving.predictor import loaded_model as models

_LOW_PRIORITY_NICENESS = 10
"""Of the thread that loads while others are served: a tenth of a core that is wanted. On one core 95 of 100 calls
during a load take 0.6 ms then and not 4; the load takes five times as long."""


def main(arguments: list[str]) -> None:
    kind, parent, *numbers = arguments
    die_with_parent(parent=int(parent))
    ignore_the_terminal()
    gc.disable()  # while TensorFlow is imported: nothing is garbage yet, and looking for it took a quarter of that
    _leave_out()
    if kind == "nursery":
        name_process("fork-server")
        numbers = _serve_forks(socket.socket(fileno=int(*numbers)), int(parent))
    predict(numbers)


def ignore_the_terminal() -> None:
    """Its signals reach its whole group; the API ends us when it ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def predict(words: list[str]) -> None:
    """Is a predictor. Never returns.

    Args:
        words: threads, rows and descriptor, after `pooled` for one of `app.lanes`.
    """
    _leave_out()
    name_process("predictor")
    show_command("-m", "app.serving.predictor")
    *pooled, threads, max_rows, descriptor = words
    _predict(int(threads), int(max_rows), socket.socket(fileno=int(descriptor)), pooled=bool(pooled))


def _leave_out() -> None:
    for name in NOT_FOR_MODELS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def import_all() -> None:
    """What predictors need, TensorFlow among it; no operation may run here, that would start threads."""
    import app.serving.predictor.loaded_model  # noqa: F401


def _serve_forks(control: socket.socket, parent: int) -> list[str]:
    """Forks a predictor for each socket that comes. Returns in those only: with their arguments."""
    import_all()
    let_go_of_file_pages()
    gc.freeze()  # a collection in a predictor does not write to the pages that it shares with us
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears them away
    while True:
        if (words := fork_predictor(control, parent)) is not None:
            return words


def fork_predictor(control: socket.socket, parent: int) -> list[str] | None:
    """Waits for a request, forks a predictor and tells its number. Returns its arguments in the predictor, None here.
    Ends the process when nobody will ask any more. SIGCHLD has to be ignored."""
    words, descriptors, *_ = socket.recv_fds(control, 1024, 1)
    if not descriptors:
        os._exit(0)  # the API is gone
    ourselves = os.getpid()
    arguments = [*words.decode().split(), str(descriptors[0])]
    if arguments[0] == "pooled":
        born = fork_child_of(parent, lambda pid: control.sendall(PID.pack(pid)))
    else:
        pid = os.fork()
        born = pid == 0
        if born:
            die_with_parent(parent=ourselves)
        else:
            control.sendall(PID.pack(pid))
    if born:
        control.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return arguments
    os.close(descriptors[0])
    return None


def _predict(threads: int, max_rows: int, given: socket.socket, *, pooled: bool) -> None:
    """Never returns."""
    try:
        PredictorServer(given, pooled=pooled, max_rows=max_rows).serve(threads)
    except BrokenPipeError:  # the API ended while TensorFlow was imported
        os._exit(0)


class _Held(NamedTuple):
    """A version in memory."""

    model: models.Loaded
    path: str
    digest: str


class PredictorServer:
    """The loop of a predictor process: reads frames, loads models, computes batches, writes replies.

    Args:
        given: the stream of frames, whose end is ours; or the control socket that brings streams.
        pooled: it is the latter.
        max_rows: rows of one TensorFlow call.
    """

    def __init__(self, given: socket.socket, *, pooled: bool = False, max_rows: int) -> None:
        import tensorflow as tf  # costs two seconds, so only where it is needed

        from app.serving import export_description as export
        from app.serving import protocol as messages
        from app.serving.predictor import loaded_model as loaded
        from app.serving.predictor.flat_call import LEFTOVERS

        self._loaded = loaded
        self._leftovers = LEFTOVERS
        self._export = export
        self._messages = messages
        self._control = given if pooled else None
        self._max_rows = max_rows
        self._models: dict[int, _Held] = {}
        self._turn, self._writing = ReadingTurn(), threading.Lock()
        self._took_s: dict[int, float] = {}  # the last call of each version
        self._loads: queue.SimpleQueue[tuple[socket.socket, messages.Change]] = queue.SimpleQueue()
        self._tensorflow = tf.__version__
        tf.constant(0.0)  # starts its threads and devices now
        gc.collect()
        gc.freeze()  # a collection after an unload looks at that model's objects only
        gc.enable()
        self._connection = self._next_connection() if pooled else given
        self._frames = messages.FrameSource(self._connection)
        self._greet()

    def serve(self, threads: int) -> None:
        """Runs until the other end closes; never returns."""
        for number in range(threads - 1):
            threading.Thread(target=self._take_turns, name=f"run-{number}", daemon=True).start()
        threading.Thread(target=self._load_for_ever, name="load", daemon=True).start()
        self._take_turns()

    def _take_turns(self) -> None:
        while True:
            self._turn.take()
            while self._read_and_work():
                pass

    def _read_and_work(self) -> bool:
        """Takes one message. Whether this thread is to take the next one too."""
        connection = self._connection
        try:
            message = self._messages.decode_request(self._frames.next())
        except (OSError, EOFError, self._messages.BadFrame):  # the other end is gone, or speaks another language
            self._change_connection()
            return True
        if isinstance(message, self._messages.RunBatch):
            if message.alone and self._took_s.get(message.key, 0.0) < SLOW_S:
                self._turn.begin()
                self._run(connection, message)
                return self._turn.end()
            self._turn.give()
            self._run(connection, message)
            return False
        if isinstance(message, self._messages.Change):
            self._loads.put((connection, message))
        return True

    def _change_connection(self) -> None:
        """Results of batches that still run for the old connection are dropped."""
        with self._writing:
            self._connection.close()
        found = self._next_connection()
        with self._writing:
            self._connection = found
        self._frames = self._messages.FrameSource(found)
        self._greet()

    def _next_connection(self) -> socket.socket:
        """Tells how many versions are here, and waits. Ends the process when there will be none."""
        if self._control is None:
            os._exit(0)
        try:
            self._control.sendall(b"%d" % len(self._models))
            _, descriptors, *_ = socket.recv_fds(self._control, 16, 1)
        except OSError:
            descriptors = []
        if not descriptors:
            os._exit(0)
        return socket.socket(fileno=descriptors[0])

    def _greet(self) -> None:
        versions = [
            self._messages.LoadedVersion(key, held.path, held.digest, held.model.cell_bytes, held.model.onnx)
            for key, held in list(self._models.items())
        ]
        self._send(self._connection, self._messages.PredictorReady(self._tensorflow, versions))

    def _run(self, connection: socket.socket, run: messages.RunBatch) -> None:
        bodies: list[bytes | int] = [self._messages.NO_INSTANCE] * len(run.counts)
        took = 0
        held = self._models.get(run.key)
        if held is not None:
            try:
                bodies, took = held.model.run(
                    run.signature, run.columns, run.counts, run.forms, call_rows=run.call_rows
                )
            except MemoryError:
                give_memory_back()
        self._took_s[run.key] = took / 1e6
        self._send(connection, self._messages.BatchResult(run.id, bodies, took))

    def _load_for_ever(self) -> None:
        while True:
            connection, message = self._loads.get()
            if connection is not self._connection:
                continue  # the requester is gone
            if isinstance(message, self._messages.UseOnnx) or getattr(message, "low_priority", False):
                arguments = (connection, message)
                thread = threading.Thread(target=self._load_at_low_priority, args=arguments, name="load-low-priority")
                thread.start()
                thread.join()
            else:
                self._load_or_unload(connection, message)

    def _load_at_low_priority(self, connection: socket.socket, message: messages.Load | messages.UseOnnx) -> None:
        """In a thread that ends with it, for a thread may not raise its priority again."""
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY_NICENESS)
        if isinstance(message, self._messages.UseOnnx):
            self._use_onnx(connection, message)
        else:
            self._load_or_unload(connection, message)

    def _use_onnx(self, connection: socket.socket, message: messages.UseOnnx) -> None:
        started = time.perf_counter()
        error: str | None = None
        held = self._models.get(message.key)
        try:
            if held is not None:
                held.model.use_onnx(message.directory)
        except Exception as failure:  # ONNX Runtime's exceptions have no class in common
            error = f"ONNX Runtime cannot load it ({type(failure).__name__})."
            print(f"predictor: no ONNX from {message.directory}: {failure!r}", file=sys.stderr, flush=True)
        if not message.directory:
            give_memory_back()
        self._send(connection, self._messages.LoadResult(message.id, error, time.perf_counter() - started, 0))

    def _load_or_unload(self, connection: socket.socket, message: messages.Load | messages.Unload) -> None:
        started = time.perf_counter()
        error: str | None = None
        size = cell_bytes = 0
        if isinstance(message, self._messages.Load):
            try:
                model = self._loaded.Loaded(message.path, message.digest, max_rows=self._max_rows)
                self._keep(connection, message, model)
                size, cell_bytes = model.bytes, model.cell_bytes
                del model
            except Exception as failure:
                named = isinstance(failure, self._export.BadExport)
                error = str(failure) if named else f"Loading failed ({type(failure).__name__})."
                print(f"predictor: cannot load {message.path}: {failure!r}", file=sys.stderr, flush=True)
        else:
            with self._writing:
                if connection.fileno() >= 0:
                    self._models.pop(message.key, None)
                    self._took_s.pop(message.key, None)
        if error is not None or not isinstance(message, self._messages.Load):
            self._leftovers.drop()
            give_memory_back()
        took = time.perf_counter() - started
        self._send(connection, self._messages.LoadResult(message.id, error, took, size, cell_bytes))

    def _keep(self, connection: socket.socket, message: messages.Load, model: models.Loaded) -> None:
        """Nothing is kept for a connection that ended meanwhile: the next one got the list of what there is."""
        with self._writing:
            if connection is self._connection and connection.fileno() >= 0:
                self._models[message.key] = _Held(model, message.path, message.digest)

    def _send(self, connection: socket.socket, message: messages.Reply) -> None:
        data = self._messages.frame(message)
        with self._writing:
            if connection.fileno() < 0:
                return  # closed
            try:
                connection.sendall(data)
            except OSError:
                if self._control is None:
                    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
