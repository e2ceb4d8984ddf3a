"""The predictor process: holds SavedModels and runs them. TensorFlow lives here, so that it may die here.

Started by `app.serving.process` as `python -m app.serving.predictor FD`, FD being its end of a socket pair; ends when
the other end closes. Some threads take turns: one waits for the next frame while the others run theirs, so that a slow
model does not hold up the others and nothing is handed from thread to thread. Loads and unloads have a thread of their
own.
"""

from __future__ import annotations

import ctypes
import gc
import os
import queue
import signal
import socket
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    descriptor, threads, max_rows = (int(argument) for argument in arguments)
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API closes our socket when done
    connection = socket.socket(fileno=descriptor)
    try:
        Predictor(connection, max_rows=max_rows).serve(threads)
    except BrokenPipeError:  # the API ended while TensorFlow was imported
        os._exit(0)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:  # it died before we asked
            os._exit(0)


class Predictor:
    """Args:
    connection: the stream of frames; its end is ours.
    max_rows: rows of one TensorFlow call.
    """

    def __init__(self, connection: socket.socket, *, max_rows: int) -> None:
        import tensorflow as tf  # costs two seconds, so only where it is needed

        from app.serving import export, loaded, messages

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
        self._send(messages.Ready(tf.__version__))

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
                if isinstance(message, self._messages.Run):
                    self._run(message)
                elif isinstance(message, self._messages.Load | self._messages.Unload):
                    self._loads.put(message)
        except (OSError, EOFError, self._messages.BadFrame):
            os._exit(0)  # the API is gone, or speaks another language

    def _run(self, run: object) -> None:
        assert isinstance(run, self._messages.Run)
        bodies: list[bytes | int] = [self._messages.NO_INSTANCE] * len(run.counts)
        took = 0
        model = self._models.get(run.key)
        if model is not None:
            bodies, took = model.run(run.signature, run.columns, run.counts, run.forms)
        self._send(self._messages.Answer(run.id, bodies, took))

    def _load_for_ever(self) -> None:
        while True:
            message = self._loads.get()
            started = time.perf_counter()
            error: str | None = None
            size = 0
            if isinstance(message, self._messages.Load):
                try:
                    model = self._loaded.Loaded(message.path, message.digest, max_rows=self._max_rows)
                    self._models[message.key] = model
                    size = model.bytes
                    del model
                except Exception as failure:
                    named = isinstance(failure, self._export.BadExport)
                    error = str(failure) if named else f"Loading failed ({type(failure).__name__})."
                    print(f"predictor: cannot load {message.path}: {failure!r}", file=sys.stderr, flush=True)
            else:
                self._models.pop(message.key, None)
            if error is not None or not isinstance(message, self._messages.Load):
                _give_memory_back()
            self._send(self._messages.Done(message.id, error, time.perf_counter() - started, size))

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


def _give_memory_back() -> None:
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    main(sys.argv[1:])
