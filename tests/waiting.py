"""Waiting for what another process or thread does."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def wait_for(probe: Callable[[], T], what: str = "a condition", seconds: float = 240.0) -> T:
    """The first true value that `probe` gives.

    A long time costs nothing where all is well, and a machine under load may take ten times as long as an idle one;
    where all processes of a test share one core with others, it may be twenty times.
    What takes long is asked less often: a request or a look at a page, fifty times a second, takes the processor from
    what is waited for.
    """
    begin = time.monotonic()
    while not (value := probe()):
        waited = time.monotonic() - begin
        assert waited < seconds, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(min(0.02 + waited / 10, 0.15))
    return value


def freeze(pid: int) -> None:
    """Stops a process, with all of its threads: until the one that got the signal had its turn, others may work on."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the process to stop")


async def until(condition: Callable[[], object]) -> None:
    """The same on an event loop, which goes on meanwhile."""
    async with asyncio.timeout(240):
        while not condition():  # noqa: ASYNC110  many things may make it true
            await asyncio.sleep(0)
