"""The process that forks predictors."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from app.serving import forkserver
from app.serving.forkserver import Forked, ForkServer

pytestmark = pytest.mark.skipif(not forkserver.POSSIBLE, reason="predictors are forked on Linux only")


async def fork(fork_server: ForkServer) -> Forked:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return await fork_server.fork([theirs], ["1", "8"], 120.0)


def test_process_that_hangs_is_replaced_with_the_next_fork() -> None:
    async def scenario() -> tuple[int, int, float]:
        fork_server = ForkServer()
        try:
            (await fork(fork_server)).wait()  # which ends at once, since its socket is closed
            assert fork_server._process is not None
            first = fork_server._process.pid
            os.kill(first, signal.SIGSTOP)
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
