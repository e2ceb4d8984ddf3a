"""The process that forks predictors."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import pytest

from app.serving import forkserver
from app.serving.forkserver import Forked, Nursery

pytestmark = pytest.mark.skipif(not forkserver.POSSIBLE, reason="predictors are forked on Linux only")


async def fork(nursery: Nursery) -> Forked:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return await nursery.fork(theirs, ["1", "8"], 120.0)


def test_process_that_hangs_is_replaced_with_the_next_fork() -> None:
    async def scenario() -> tuple[int, int, float]:
        nursery = Nursery()
        try:
            (await fork(nursery)).wait()  # which ends at once, since its socket is closed
            assert nursery._process is not None
            first = nursery._process.pid
            os.kill(first, signal.SIGSTOP)
            began = time.monotonic()
            await fork(nursery)
            assert nursery._process is not None
            return first, nursery._process.pid, time.monotonic() - began
        finally:
            await nursery.stop()

    first, second, seconds = asyncio.run(scenario())
    assert first != second
    # five seconds until it counts as hung, and an import of TensorFlow; not the two minutes of a first start
    assert 5.0 <= seconds < 100.0
