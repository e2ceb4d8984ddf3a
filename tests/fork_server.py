"""One fork server for many tests: each of its own imports TensorFlow, which takes longer than most of those tests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from unittest import mock

from app.serving.forkserver import POSSIBLE, Forked, ForkServer


def _let_go(made: Future[tuple[Forked, socket.socket]]) -> None:
    """The process finds its socket closed, and ends."""
    if made.exception() is None:
        made.result()[1].close()


class Lender:
    """A fork server that outlives those who use it. It is real, and runs on the event loop of a thread of its own: the
    kernel ends it with the thread that started it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fork-server", daemon=True)
        self._thread.start()
        self._server = ForkServer()

    @property
    def alive(self) -> bool:
        return self._server.alive

    async def fork(
        self, kind: socket.SocketKind, arguments: Sequence[str], timeout_s: float
    ) -> tuple[Forked, socket.socket]:
        made = asyncio.run_coroutine_threadsafe(self._server.fork(kind, arguments, timeout_s), self._loop)
        try:
            # who gives up does not end the exchange with the process, whose next answer would be taken for another one
            return await asyncio.shield(asyncio.wrap_future(made))
        except asyncio.CancelledError:
            made.add_done_callback(_let_go)
            raise

    async def stop(self) -> None:
        """Of one who uses it: the others go on."""

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Predictors that are set up meanwhile are forked by it, to their end."""
        if not POSSIBLE:
            yield
            return
        with mock.patch("app.serving.own_predictors.ForkServer", lambda: self):
            yield

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()
