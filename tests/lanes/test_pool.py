"""The predictors of a host, with processes that are none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from app.lanes import pool as pools
from tests.waiting import until


class NoProcess:
    """A predictor: our end of its control, which is closed when it is killed."""

    def __init__(self, control: socket.socket) -> None:
        self.pid, self.control = 1, control

    def kill(self) -> None:
        self.control.close()


class Forks:
    """A fork server that forks when it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.made: list[NoProcess] = []

    async def fork(
        self, kind: socket.SocketKind, arguments: Sequence[str], timeout_s: float
    ) -> tuple[NoProcess, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        await self.may.wait()
        self.made.append(NoProcess(theirs))
        theirs.send(b"0")  # waits for its first stream, without a version
        return self.made[-1], ours

    async def stop(self) -> None:
        pass


def test_spare_that_comes_while_another_comes_back_from_a_trial_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_RESTART_S", 0.01)

    async def story() -> None:
        forks: Any = Forks()
        pool = pools.PredictorPool([])
        pool.fork_server = forks
        forks.may.set()
        pool.keep_spare()
        await until(lambda: pool.spare is not None)
        forks.may.clear()
        stream, other = socket.socketpair()
        with stream, other:
            await pool.give(0, stream, trial=True)
        assert pool.spare is None  # and the next one is being forked
        [tried] = forks.made
        tried.control.send(b"0")  # the trial is over
        await until(lambda: pool.spare is not None)
        forks.may.set()
        await until(lambda: len(forks.made) == 2)
        await until(lambda: len(pool.predictors) == 1)
        kept = pool.spare
        assert kept is not None
        assert [one.control.fileno() >= 0 for one in forks.made].count(True) == 1
        assert kept.process.control.fileno() >= 0  # type: ignore[attr-defined]
        await pool.stop()

    asyncio.run(story())
