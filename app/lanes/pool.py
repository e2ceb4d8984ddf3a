"""The predictors of a host: forked by one fork server, lent to lanes, and kept when a lane dies."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

import structlog

from app.lanes.messages import PacketSocket
from app.serving.forkserver import Forked, ForkServerDied, of_this_host

log = structlog.get_logger("app.lanes")

_FORK_S = 120.0
_RESTART_S = 1.0  # between two starts that fail


class PooledPredictor:
    """One predictor.

    Attributes:
        lane: whose it is; None: it is the spare.
        trial: the lane only tries versions in it.
        left: the lane ended; its successor shall have it, with the versions that are in it.
        streams, waits: how many it was sent, and how often it said that it waits for one.
    """

    def __init__(self, process: Forked) -> None:
        self.process = process
        self.control: PacketSocket
        self.lane: int | None = None
        self.trial = False
        self.left = False
        self.streams = self.waits = 0


class PredictorPool:
    """The predictors of a generation, and their fork server.

    Args:
        arguments: threads and rows of a predictor.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.fork_server = of_this_host()
        self.predictors: set[PooledPredictor] = set()
        self.replaced = 0
        self._arguments = ["pooled", *arguments]
        self._forking: asyncio.Task[None] | None = None
        self._spare_wanted = False
        self._stopped = False

    @property
    def spare(self) -> PooledPredictor | None:
        return next((one for one in self.predictors if one.lane is None), None)

    async def give(self, lane: int, stream: socket.socket | int, *, trial: bool) -> int:
        """Gives a predictor of the lane's predecessor, the spare or a new one that end of a stream; its process number.

        Raises ForkServerDied.
        """
        found = None if trial else self._left_by(lane)
        if found is None:
            found = await self._free()
        found.lane, found.trial, found.left = lane, trial, False
        found.streams += 1
        found.control.send(b"+", [stream if isinstance(stream, int) else stream.fileno()])
        self._look_after_spare()
        return found.process.pid

    def lane_ended(self, lane: int, *, for_good: bool = False) -> None:
        """Its predictor waits for its successor, or ends where there is none."""
        for one in list(self.predictors):
            if one.lane == lane:
                one.left = True
                if one.trial or for_good:
                    one.process.kill()  # whatever was tried in it

    async def begin(self) -> None:
        """Starts the fork server unless it lives."""
        await self.fork_server.begin()

    def keep_spare(self) -> None:
        """From now on there is one predictor that nobody uses."""
        self._spare_wanted = True
        self._look_after_spare()

    async def stop(self) -> None:
        """Ends all of them, and the fork server."""
        self._stopped = True
        if self._forking is not None:
            self._forking.cancel()
            with contextlib.suppress(asyncio.CancelledError, ForkServerDied):
                await self._forking
        for one in self.predictors:
            one.control.close()
            one.process.kill()
        self.predictors.clear()
        await self.fork_server.stop()

    def _left_by(self, lane: int) -> PooledPredictor | None:
        return next((one for one in self.predictors if one.lane == lane and one.left and not one.trial), None)

    async def _free(self) -> PooledPredictor:
        while (spare := self.spare) is None:
            await asyncio.shield(self._fork())
        return spare

    def _fork(self) -> asyncio.Task[None]:
        if self._forking is None or self._forking.done():
            self._forking = asyncio.create_task(self._fork_one(), name="fork-predictor")
        return self._forking

    async def _fork_one(self) -> None:
        process, ours = await self.fork_server.fork(socket.SOCK_SEQPACKET, self._arguments, _FORK_S)
        one = PooledPredictor(process)
        one.control = PacketSocket(ours, lambda data, _: self._idle(one, int(data)), lambda: self._gone(one))
        self.predictors.add(one)

    def _look_after_spare(self) -> None:
        if self._spare_wanted and not self._stopped and self.spare is None:
            self._fork().add_done_callback(self._spare_came)

    def _spare_came(self, forked: asyncio.Task[None]) -> None:
        if not forked.cancelled() and (error := forked.exception()) is not None:
            log.warning("spare predictor", event_detail=str(error))
            asyncio.get_running_loop().call_later(_RESTART_S, self._look_after_spare)
        elif not self._stopped:
            asyncio.get_running_loop().call_later(_RESTART_S, self._end_surplus)  # who waited has taken it by then

    def _end_surplus(self) -> None:
        """While a spare was forked another one may have come back from a trial: nobody needs both."""
        spares = [one for one in self.predictors if one.lane is None]
        for one in spares[1:]:
            self.predictors.discard(one)  # nobody is to be given it meanwhile
            one.process.kill()

    def _idle(self, one: PooledPredictor, versions: int) -> None:
        """Its stream ended, or it is new; the next stream may be on its way."""
        one.waits += 1
        if one.waits <= one.streams or one.lane is None:
            return
        if not one.trial:
            one.left = True  # its lane ended, which we shall hear in a moment, or heard
        elif versions == 0 and self.spare is None:
            one.lane, one.trial = None, False
        else:
            one.process.kill()

    def _gone(self, one: PooledPredictor) -> None:
        """It died: by itself, by a lane that found it hanging, or by us."""
        self.predictors.discard(one)
        one.process.kill()
        self.replaced += 1
        if not self._stopped:
            asyncio.get_running_loop().call_later(0 if one.lane is not None else _RESTART_S, self._look_after_spare)
