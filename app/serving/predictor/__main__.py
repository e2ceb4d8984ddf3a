"""The predictor process: holds SavedModels and runs them. TensorFlow lives here, so that it may die here.

Forked by the fork server (`… nursery PARENT FD`, see `app.serving.forkserver`), or started
for itself (`… alone PARENT THREADS ROWS FD`), FD being its end of a socket pair; ends when the other end closes. Some
threads take turns: one waits for the next frame while the others run theirs, so that a slow model does not hold up the
others and nothing is handed from thread to thread. Loads and unloads have a thread of their own.
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
from typing import TYPE_CHECKING

from app.process import die_with_parent, give_memory_back
from app.serving.forkserver import PID

if TYPE_CHECKING:
    from app.serving import protocol as messages

_NOT_NEEDED = ("pandas", "pyarrow")
"""Keras imports them where they are, at a tenth of the whole import and 35 MB, and Arrow starts a thread."""
_LOW_PRIORITY_NICENESS = 10
"""Of the thread that loads while others are served: a tenth of a core that is wanted. On one core 95 of 100 calls
during a load take 0.6 ms then and not 4; the load takes five times as long."""


def main(arguments: list[str]) -> None:
    kind, parent, *numbers = arguments
    die_with_parent(parent=int(parent))
    gc.disable()  # while TensorFlow is imported: nothing is garbage yet, and looking for it took a quarter of that
    for name in _NOT_NEEDED:
        sys.modules[name] = None  # type: ignore[assignment]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API closes our socket when done
    if kind == "nursery":
        numbers = _serve_forks(socket.socket(fileno=int(*numbers)))
    _predict(*(int(number) for number in numbers))


def _serve_forks(control: socket.socket) -> list[str]:
    """Forks a predictor for each socket that comes. Returns in those only: with their arguments."""
    import app.serving.predictor.loaded_model  # noqa: F401  imports TensorFlow; no operation may run here, that would start threads

    gc.freeze()  # a collection in a predictor does not write to the pages that it shares with us
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears them away
    ourselves = os.getpid()
    while True:
        words, descriptors, *_ = socket.recv_fds(control, 1024, 1)
        if not descriptors:
            os._exit(0)  # the API is gone
        pid = os.fork()
        if pid == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die_with_parent(parent=ourselves)
            return [*words.decode().split(), str(descriptors[0])]
        os.close(descriptors[0])
        control.sendall(PID.pack(pid))


def _predict(threads: int, max_rows: int, descriptor: int) -> None:
    """Never returns."""
    connection = socket.socket(fileno=descriptor)
    try:
        PredictorServer(connection, max_rows=max_rows).serve(threads)
    except BrokenPipeError:  # the API ended while TensorFlow was imported
        os._exit(0)


class PredictorServer:
    """The loop of a predictor process: reads frames, loads models, computes batches, writes replies.

    Args:
        connection: the stream of frames; its end is ours.
        max_rows: rows of one TensorFlow call.
    """

    def __init__(self, connection: socket.socket, *, max_rows: int) -> None:
        import tensorflow as tf  # costs two seconds, so only where it is needed

        from app.serving import export_description as export
        from app.serving import protocol as messages
        from app.serving.predictor import loaded_model as loaded

        self._loaded = loaded
        self._export = export
        self._messages = messages
        self._connection = connection
        self._max_rows = max_rows
        self._models: dict[int, loaded.Loaded] = {}
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._loads: queue.SimpleQueue[messages.Load | messages.Unload] = queue.SimpleQueue()
        tf.constant(0.0)  # starts its threads and devices now
        gc.collect()
        gc.freeze()  # a collection after an unload looks at that model's objects only
        gc.enable()
        self._send(messages.PredictorReady(tf.__version__))

    def serve(self, threads: int) -> None:
        """Runs until the other end closes; never returns."""
        for number in range(threads - 1):
            threading.Thread(target=self._take_turns, name=f"run-{number}", daemon=True).start()
        threading.Thread(target=self._load_for_ever, name="load", daemon=True).start()
        self._take_turns()

    def _take_turns(self) -> None:
        try:
            while True:
                with self._reading:
                    message = self._receive()
                if isinstance(message, self._messages.RunBatch):
                    self._run(message)
                elif isinstance(message, self._messages.Load | self._messages.Unload):
                    self._loads.put(message)
        except (OSError, EOFError, self._messages.BadFrame):
            os._exit(0)  # the API is gone, or speaks another language

    def _run(self, run: object) -> None:
        assert isinstance(run, self._messages.RunBatch)
        bodies: list[bytes | int] = [self._messages.NO_INSTANCE] * len(run.counts)
        took = 0
        model = self._models.get(run.key)
        if model is not None:
            try:
                bodies, took = model.run(run.signature, run.columns, run.counts, run.forms)
            except MemoryError:
                give_memory_back()
        self._send(self._messages.BatchResult(run.id, bodies, took))

    def _load_for_ever(self) -> None:
        while True:
            message = self._loads.get()
            if isinstance(message, self._messages.Load) and message.low_priority:
                thread = threading.Thread(target=self._load_at_low_priority, args=(message,), name="load-low-priority")
                thread.start()
                thread.join()
            else:
                self._load_or_unload(message)

    def _load_at_low_priority(self, message: messages.Load) -> None:
        """In a thread that ends with it, for a thread may not raise its priority again."""
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY_NICENESS)
        self._load_or_unload(message)

    def _load_or_unload(self, message: messages.Load | messages.Unload) -> None:
        started = time.perf_counter()
        error: str | None = None
        size = cell_bytes = 0
        if isinstance(message, self._messages.Load):
            try:
                model = self._loaded.Loaded(message.path, message.digest, max_rows=self._max_rows)
                self._models[message.key] = model
                size, cell_bytes = model.bytes, model.cell_bytes
                del model
            except Exception as failure:
                named = isinstance(failure, self._export.BadExport)
                error = str(failure) if named else f"Loading failed ({type(failure).__name__})."
                print(f"predictor: cannot load {message.path}: {failure!r}", file=sys.stderr, flush=True)
        else:
            self._models.pop(message.key, None)
        if error is not None or not isinstance(message, self._messages.Load):
            give_memory_back()
        self._send(self._messages.LoadResult(message.id, error, time.perf_counter() - started, size, cell_bytes))

    def _receive(self) -> object:
        length = self._messages.frame_length(self._exactly(4))
        return self._messages.decode_request(self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        piece = self._connection.recv(size, socket.MSG_WAITALL)
        if len(piece) == size:
            return piece
        pieces = [piece]
        missing = size - len(piece)
        while missing:
            piece = self._connection.recv(missing, socket.MSG_WAITALL)
            if not piece:
                raise EOFError
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _send(self, message: object) -> None:
        data = self._messages.frame(message)  # type: ignore[arg-type]
        with self._writing:
            self._connection.sendall(data)


if __name__ == "__main__":
    main(sys.argv[1:])
