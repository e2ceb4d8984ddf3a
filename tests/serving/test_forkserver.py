"""The process that forks predictors."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from app.serving import forkserver
from app.serving.forkserver import Forked, ForkServer
from tests.waiting import freeze

pytestmark = pytest.mark.skipif(not forkserver.POSSIBLE, reason="predictors are forked on Linux only")


async def fork(fork_server: ForkServer) -> Forked:
    process, ours = await fork_server.fork(socket.SOCK_STREAM, ["1", "8"], 120.0)
    ours.close()
    return process


def test_process_that_hangs_is_replaced_with_the_next_fork() -> None:
    async def scenario() -> tuple[int, int, float]:
        fork_server = ForkServer()
        try:
            (await fork(fork_server)).wait()  # which ends at once, since its socket is closed
            assert fork_server._process is not None
            first = fork_server._process.pid
            freeze(first)
            began = time.monotonic()
            await fork(fork_server)
            assert fork_server._process is not None
            return first, fork_server._process.pid, time.monotonic() - began
        finally:
            await fork_server.stop()

    first, second, seconds = asyncio.run(scenario())
    assert first != second
    # five seconds until it counts as hung, and an import of TensorFlow; not the two minutes of a first start
    assert 5.0 <= seconds < 100.0


def test_what_a_try_forked_that_was_given_up_has_a_closed_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[socket.socket] = []

    def ask(fork_server: ForkServer, sockets: list[socket.socket], arguments: object, timeout_s: float) -> str:
        given.append(sockets[0].dup())
        if len(given) == 1:
            raise TimeoutError("It forked, and told so too late.")
        return "a process"

    monkeypatch.setattr(ForkServer, "_ask", ask)
    monkeypatch.setattr(ForkServer, "_begin", lambda fork_server: None)
    process, ours = asyncio.run(ForkServer().fork(socket.SOCK_STREAM, [], 1.0))
    with ours, given[0] as first, given[1] as second:
        ours.sendall(b"x")
        assert (process, first.recv(1), second.recv(1)) == ("a process", b"", b"x")
