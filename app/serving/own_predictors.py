"""Predictors of an API process that stands alone: its own fork server, and a spare of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from app.serving.forkserver import POSSIBLE, Forked, ForkServer
from app.serving.predictor_process import Fork, PredictorDied, PredictorProcess

log = structlog.get_logger("app.serving")

_RESTART_S = 1.0  # between two starts that fail

Make = Callable[[Fork | None], PredictorProcess]


class PredictorSource(Protocol):
    """Where predictors come from."""

    @property
    def tries(self) -> bool:
        """Staged versions are to be tried apart from the predictor that serves."""

    @property
    def can_try(self) -> bool:
        """`borrow` can give a process now."""

    def bind(self, make: Make, changed: Callable[[], None]) -> None:
        """Called once, on the event loop, before anything else.

        Args:
            make: a process that is not started.
            changed: called when a spare is ready.
        """

    async def next(self) -> PredictorProcess:
        """A started process, to serve. Raises PredictorDied."""

    def begin_spare(self) -> None:
        """There is time to prepare for the next one's death."""

    async def borrow(self) -> PredictorProcess:
        """A process in which nobody is served, until `give_back`. Raises PredictorDied."""

    def give_back(self, process: PredictorProcess) -> None: ...

    def died(self, process: PredictorProcess) -> None:
        """Told of each death."""

    @property
    def blameless(self) -> bool:
        """A process that died did not take the others with it."""

    async def stop(self) -> None: ...


class OwnPredictors:
    """A `PredictorSource` that forks and keeps its own.

    Args:
        spare: keep a second process, which takes over when the first one dies and tries staged versions.
    """

    def __init__(self, *, spare: bool = True) -> None:
        self.spare: PredictorProcess | None = None
        self.fork_server = ForkServer() if POSSIBLE else None
        self.tries = spare
        self._make: Make
        self._changed: Callable[[], None]
        self._borrowed = False
        self._starting: asyncio.Task[None] | None = None

    def bind(self, make: Make, changed: Callable[[], None]) -> None:
        self._make, self._changed = make, changed

    @property
    def can_try(self) -> bool:
        return self.spare is not None and not self._borrowed

    @property
    def blameless(self) -> bool:
        return self.fork_server is None or self.fork_server.alive

    async def next(self) -> PredictorProcess:
        if self.spare is None and self._starting is not None:
            await self._starting
        process = None
        if not self._borrowed:  # else it tries a version, which may hang
            process, self.spare = self.spare, None
        if process is None or not process.alive:
            process = self._new()
            await process.start()
        return process

    def begin_spare(self) -> None:
        if self.tries and self.spare is None and not self._borrowed and self._starting is None:
            self._starting = asyncio.create_task(self._start_spare(), name="spare-predictor")

    async def borrow(self) -> PredictorProcess:
        assert self.spare is not None
        self._borrowed = True
        return self.spare

    def give_back(self, process: PredictorProcess) -> None:
        self._borrowed = False

    def died(self, process: PredictorProcess) -> None:
        if process is self.spare:
            self.spare = None

    async def stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        if self.spare is not None:
            await self.spare.stop()
        if self.fork_server is not None:
            await self.fork_server.stop()

    def _new(self) -> PredictorProcess:
        return self._make(None if self.fork_server is None else self._fork)

    async def _fork(self, arguments: Sequence[str], timeout_s: float) -> tuple[Forked, socket.socket]:
        assert self.fork_server is not None
        return await self.fork_server.fork(socket.SOCK_STREAM, arguments, timeout_s)

    async def _start_spare(self) -> None:
        process = self._new()
        try:
            await process.start()
            self.spare = process
        except (PredictorDied, OSError) as error:
            log.warning("spare predictor", event_detail=str(error))
            await asyncio.sleep(_RESTART_S)
        except asyncio.CancelledError:
            await process.stop()
            raise
        finally:
            self._starting = None
            self._changed()
