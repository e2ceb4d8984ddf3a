"""Lanes of one state of code and settings, the process that forks them, and their predictors."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence

import structlog

from app.config import Settings
from app.host_table import HostTable
from app.lanes.messages import (
    Channel,
    Drain,
    LaneState,
    Message,
    Metrics,
    PredictorGiven,
    TellMetrics,
    WantsMetrics,
    WantsPredictor,
    close_all,
)
from app.lanes.pool import PredictorPool
from app.serving.forkserver import Forked, ForkServer, ForkServerDied
from app.serving.model_limits import BatchLimits

log = structlog.get_logger("app.lanes")

NURSERY = "app.lanes.nursery"
_FORK_S = 120.0


class Seats:
    """Places in the table that lanes share: one for each process, two for a lane that is being replaced.

    Args:
        lanes: number of lanes.
    """

    def __init__(self, lanes: int) -> None:
        self.table = HostTable.make(2 * lanes)
        self._free = set(range(self.table.seats))

    def take(self) -> int:
        """Raises ForkServerDied when none is free: processes that were to end live on."""
        if not self._free:
            raise ForkServerDied("There are too many lanes.")
        return self._free.pop()

    def give_back(self, seat: int) -> None:
        """Whoever sat there counts no more."""
        self.table.clear(seat)
        self._free.add(seat)


class Lane:
    """A lane's process, as the parent sees it.

    Attributes:
        serves: it accepts connections.
        served: it has accepted connections at some time; gone: it has ended.
        met: it is connected with the other lanes.
        joins: it is to take the place of another one, which serves on if this one ends.
        drains: it was told to end.
        alive_at: when it last showed life (monotonic seconds).
    """

    def __init__(self, index: int, process: Forked, generation: Generation, *, seat: int, joins: bool) -> None:
        self.index = index
        self.seat = seat
        self.process = process
        self.generation = generation
        self.channel: Channel
        self.serves = self.met = False
        self.served, self.gone = asyncio.Event(), asyncio.Event()
        self.joins = joins
        self.drains = False
        self.started_at = self.alive_at = time.monotonic()

    @property
    def ended(self) -> bool:
        return self.gone.is_set()

    def drain(self) -> None:
        self.drains = True
        self.channel.send(Drain())


class Generation:
    """Lanes, nursery and predictors that began with one state of code and settings.

    Args:
        listeners: of each lane: HTTP's, and those of the gRPC port where there is one.
        on_life: called with a lane that shows life.
        on_change: called with a lane that began to serve.
        on_end: called with a lane that ended.
        on_metrics: called with a lane that asks for metrics, and with each that answers.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[Sequence[socket.socket]],
        seats: Seats,
        *,
        grpc_port: int = 0,
        on_life: Callable[[Lane], None],
        on_change: Callable[[Lane], None],
        on_end: Callable[[Lane], None],
        on_metrics: Callable[[Lane, WantsMetrics | Metrics, list[int]], None],
    ) -> None:
        self.lanes: set[Lane] = set()
        limits = BatchLimits(batch_rows=settings.predict_max_batch_rows)
        predicts = settings.predictor != "none"
        self.pool = PredictorPool([str(limits.in_flight), str(limits.batch_rows)]) if predicts else None
        self.nursery = ForkServer(NURSERY)
        self._listeners = listeners
        self._seats = seats
        self._grpc_port = grpc_port
        self._on_life, self._on_change, self._on_end, self._on_metrics = on_life, on_change, on_end, on_metrics
        self._giving: set[asyncio.Task[None]] = set()

    def begin_as_forks(self) -> None:
        """Starts the fork servers as forks of this process."""
        self.nursery.begin_as_fork()
        if self.pool is not None:
            self.pool.fork_server.begin_as_fork()

    async def begin(self) -> None:
        """Starts the fork servers unless they live."""
        await self.nursery.begin()
        if self.pool is not None:
            await self.pool.begin()

    async def start(self, index: int, patience_s: float, *, joins: bool = False) -> Lane:
        """A new lane. It accepts once it has all versions, or after `patience_s`. Raises ForkServerDied."""
        seat = self._seats.take()
        numbers = (index, len(self._listeners), self._seats.table.seats, seat, patience_s, self._grpc_port)
        words = [str(number) for number in numbers]
        given: list[socket.socket | int] = [self._seats.table.descriptor, *self._listeners[index]]
        try:
            process, ours = await self.nursery.fork(socket.SOCK_SEQPACKET, words, _FORK_S, given)
        except BaseException:
            self._seats.give_back(seat)
            raise
        lane = Lane(index, process, self, seat=seat, joins=joins)
        lane.channel = Channel(ours, lambda message, files: self._hear(lane, message, files), lambda: self._gone(lane))
        self.lanes.add(lane)
        return lane

    async def stop(self) -> None:
        """Ends the fork servers and all predictors; lanes first, by their own."""
        for task in list(self._giving):
            task.cancel()
        for lane in self.lanes:
            lane.gone.set()
            lane.channel.close()
            lane.process.kill()
        self.lanes.clear()
        await self.nursery.stop()
        if self.pool is not None:
            await self.pool.stop()

    def _hear(self, lane: Lane, message: Message, files: list[int]) -> None:
        lane.alive_at = time.monotonic()
        if isinstance(message, LaneState):
            self._on_life(lane)
            began, lane.serves = message.serves and not lane.serves, message.serves
            if began:
                lane.served.set()
                self._on_change(lane)
        elif isinstance(message, WantsPredictor):
            task = asyncio.create_task(self._give(lane, message, files))
            self._giving.add(task)
            task.add_done_callback(self._giving.discard)
        elif isinstance(message, WantsMetrics | Metrics):
            self._on_metrics(lane, message, files)
        else:
            close_all(files)

    async def _give(self, lane: Lane, wish: WantsPredictor, files: list[int]) -> None:
        pid = 0
        try:
            if self.pool is not None and len(files) == 1 and not lane.ended:
                pid = await self.pool.give(lane.index, files[0], trial=wish.trial)
                if lane.ended:  # meanwhile
                    self.pool.lane_ended(lane.index)
        except ForkServerDied as error:
            log.warning("no predictor", lane=lane.index, event_detail=str(error))
        finally:
            close_all(files)
        lane.channel.send(PredictorGiven(wish.id, pid))

    def _gone(self, lane: Lane) -> None:
        """It died, or was killed."""
        lane.gone.set()
        lane.process.kill()
        self.lanes.discard(lane)
        self._seats.give_back(lane.seat)
        if self.pool is not None:
            self.pool.lane_ended(lane.index, for_good=lane.drains or lane.joins)
        self._on_end(lane)


def ask_for_metrics(lane: Lane, number: int) -> None:
    lane.channel.send(TellMetrics(number))
