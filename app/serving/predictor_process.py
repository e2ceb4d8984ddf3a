"""A predictor process as the API sees it: started, spoken to over a socket pair, and ended."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import cast

from app.serving.forkserver import PREDICTOR, Forked, ForkServerDied, start
from app.serving.protocol import (
    BadFrame,
    BatchResult,
    Change,
    FrameReader,
    Load,
    LoadedVersion,
    LoadResult,
    PredictorReady,
    Reply,
    RunBatch,
    Unload,
    UseOnnx,
    decode_reply,
    frame,
)

_START_TIMEOUT_S = 120.0

Fork = Callable[[Sequence[str], float], Awaitable[tuple[Forked, socket.socket]]]


class PredictorDied(Exception):
    """The process ended before it answered."""


class PredictorProcess(asyncio.Protocol):
    """One process, from its start to its end.

    Args:
        on_answer: called with each `BatchResult`.
        on_death: called once when the process is gone, for whatever reason.
        threads: signatures that may run at the same time.
        max_rows: rows of one TensorFlow call.
        fork: gives a predictor and our end of its socket, see `ForkServer.fork`; without it one is started for itself
            and imports TensorFlow.

    Attributes:
        left: by path and digest, versions that it had already when this connection began; whoever takes one over, or
            unloads it, takes it out.
    """

    def __init__(
        self,
        on_answer: Callable[[BatchResult], None],
        on_death: Callable[[PredictorProcess], None],
        *,
        threads: int,
        max_rows: int,
        fork: Fork | None = None,
    ) -> None:
        self.alive = False
        self.tensorflow = ""
        self._on_answer = on_answer
        self._on_death = on_death
        self._arguments = [str(threads), str(max_rows)]
        self._fork = fork
        self.left: dict[tuple[str, str], LoadedVersion] = {}
        self._frames = FrameReader()
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[LoadResult]] = {}
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[None] | None = None
        self._gone = asyncio.Event()
        self._leaving = False
        self._use: int | None = None
        self._used_at = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Starts the process and waits until TensorFlow is ready there. Raises PredictorDied."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        ours = await self._spawn()
        ours.setblocking(False)
        try:
            await loop.create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            self.kill()
            raise
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._ready
        except TimeoutError:
            raise PredictorDied("The predictor process did not start in time.") from None
        finally:
            if not self.alive:
                self.kill()

    async def _spawn(self) -> socket.socket:
        """Starts the process and returns our end of its socket."""
        if self._fork is not None:
            try:
                self._process, ours = await self._fork(self._arguments, _START_TIMEOUT_S)
            except ForkServerDied as error:
                raise PredictorDied(str(error)) from None
            return ours
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = start(PREDICTOR, "alone", *self._arguments, theirs)
            except BaseException:
                ours.close()
                raise
        return ours

    def run(self, run: RunBatch) -> None:
        """Sends one run; its `BatchResult` comes to `on_answer`."""
        assert self._transport is not None
        self._transport.write(frame(run))

    async def load(
        self, key: int, path: str, digest: str, timeout_s: float, *, low_priority: bool = False
    ) -> LoadResult:
        """Loads a version under `key`. A process that does not answer in time is killed. Raises PredictorDied.

        Args:
            low_priority: load at reduced CPU priority, so that serving is not slowed.
        """
        number = next(self._ids)
        return await self._told(Load(number, key, path, digest, low_priority), number, timeout_s)

    async def unload(self, key: int, timeout_s: float) -> LoadResult:
        """Frees a version. Raises as `load` does."""
        number = next(self._ids)
        return await self._told(Unload(number, key), number, timeout_s)

    async def use_onnx(self, key: int, directory: str, timeout_s: float) -> LoadResult:
        """As `UseOnnx`. Raises as `load` does."""
        number = next(self._ids)
        return await self._told(UseOnnx(number, key, directory), number, timeout_s)

    def leave(self) -> None:
        """Ends the connection, not the process, which is somebody else's."""
        self._leaving = True
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def stop(self) -> None:
        """Ends the process and waits for it."""
        self.kill()
        if self._transport is not None:
            self._transport.abort()
            await self._gone.wait()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    def quiet_s(self, since: float) -> float:
        """For how long no thread of it has run, or waited for a processor or a disk, since `since`; 0 where that cannot
        be seen. A stopped process is quiet, and one that waits for itself; one that computes is not."""
        now = time.perf_counter()
        seen = _processor_use(self.pid)
        if seen is None or seen != self._use:
            self._use, self._used_at = seen, now
        return max(0.0, now - max(since, self._used_at))

    def memory_bytes(self) -> int:
        """Private memory of the process: what is in use there and not shared. 0 when it cannot be read."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                self._take(decode_reply(payload))
        except BadFrame:
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        self._gone.set()
        if not self._leaving:
            self.kill()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(PredictorDied("The predictor process ended while it started."))
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(PredictorDied("The predictor process ended."))
        self._waiting.clear()
        if self._process is not None and not self._leaving:
            asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        self._on_death(self)

    def _take(self, reply: Reply) -> None:
        if isinstance(reply, BatchResult):
            self._on_answer(reply)
        elif isinstance(reply, PredictorReady):
            self.alive = True
            self.tensorflow = reply.tensorflow
            self.left = {(version.path, version.digest): version for version in reply.loaded}
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        else:
            future = self._waiting.pop(reply.id, None)
            if future is not None and not future.done():
                future.set_result(reply)

    async def _told(self, message: Change, number: int, timeout_s: float) -> LoadResult:
        if not self.alive or self._transport is None:
            raise PredictorDied("The predictor process ended.")
        future: asyncio.Future[LoadResult] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._transport.write(frame(message))
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            self.kill()
            raise PredictorDied("The predictor process did not answer in time.") from None


def _processor_use(pid: int) -> int | None:
    """Clock ticks that a process has used; None while one of its threads runs or wants to, or when it is unknown."""
    ticks = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  read several times per second
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
            if fields[0] in (b"R", b"D"):
                return None
            ticks += int(fields[11]) + int(fields[12])
    except (OSError, IndexError):
        return None
    return ticks
