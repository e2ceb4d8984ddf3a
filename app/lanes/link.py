"""A lane's end of its connection to the serving parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from app.errors import Unavailable
from app.host_table import HostTable
from app.lanes.messages import (
    Channel,
    Drain,
    LaneState,
    MeetLane,
    Message,
    Metrics,
    MetricsGiven,
    PredictorGiven,
    StandBack,
    StandIn,
    TellMetrics,
    WantsMetrics,
    WantsPredictor,
    close_all,
    file_in_memory,
    read_file,
)
from app.serving.forkserver import Forked, ForkServerDied
from app.serving.own_predictors import Make
from app.serving.predictor_process import PredictorProcess

_ALIVE_EVERY_S = 1.0
_METRICS_WITHIN_S = 2.0


@dataclass(frozen=True)
class LanePlace:
    """Where a lane stands.

    Attributes:
        index: of this lane, from 0.
        lanes: number of lanes on this host.
        table: what they share, with this lane's seat.
        patience_s: how long to wait for the versions before connections are accepted.
        grpc_port: that the parent has opened; 0: none.
    """

    index: int
    lanes: int
    table: HostTable
    patience_s: float
    grpc_port: int = 0

    def sort(self, listeners: Iterable[socket.socket]) -> tuple[list[socket.socket], list[socket.socket]]:
        """Those for HTTP, and those for gRPC."""
        found: tuple[list[socket.socket], list[socket.socket]] = ([], [])
        for listener in listeners:
            found[listener.getsockname()[1] == self.grpc_port].append(listener)
        return found


class ParentLink:
    """The lane's predictors come from the parent, which keeps them when this process ends (it is a `PredictorSource`),
    and so do the metrics of the other lanes.

    Args:
        connection: to the parent.
    """

    tries = True
    can_try = True
    blameless = True

    def __init__(self, connection: socket.socket, place: LanePlace) -> None:
        self.index = place.index
        self.lanes = place.lanes
        self.table = place.table
        self.patience_s = place.patience_s
        self.tell_metrics: Callable[[], bytes] = lambda: b""
        self.drain: Callable[[], None] = lambda: None
        self.meet: Callable[[socket.socket], None] = socket.socket.close
        self.leave: Callable[[], None] = lambda: None
        self.stand_in: Callable[[int, list[socket.socket]], None]
        self.stand_back: Callable[[int], None] = lambda lane: None
        self._connection = connection
        self._channel: Channel | None = None
        self._serves = False
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[tuple[Message, list[int]]]] = {}
        self._beat: asyncio.Task[None] | None = None
        self._make: Make

    def start(self) -> None:
        """On the event loop, before anything is asked."""
        self._channel = Channel(self._connection, self._hear, lambda: os._exit(1))  # no parent, no lane
        self._beat = asyncio.create_task(self._show_life(), name="alive")

    def now_serves(self) -> None:
        self._serves = True
        self.table.now_serves()
        self._send(LaneState(True))

    def serving(self) -> int:
        """Number of lanes that serve now; while one takes another's place both are counted once."""
        return min(self.lanes, len(self.table.serving()))

    async def metrics_of_others(self) -> dict[int, bytes]:
        """Prometheus' text of each other lane that answers within two seconds."""
        if self.lanes == 1:
            return {}
        try:
            answer, files = await self._ask(WantsMetrics(next(self._ids)), (), _METRICS_WITHIN_S)
        except TimeoutError:
            raise Unavailable("The serving parent does not answer.") from None
        assert isinstance(answer, MetricsGiven)
        return dict(zip(answer.lanes, map(read_file, files), strict=True))

    def bind(self, make: Make, changed: Callable[[], None]) -> None:
        self._make = make

    async def next(self) -> PredictorProcess:
        process = self._make(self._fork)
        await process.start()
        return process

    def begin_spare(self) -> None:
        """The parent keeps it."""

    async def borrow(self) -> PredictorProcess:
        process = self._make(self._fork_for_trial)
        await process.start()
        return process

    def give_back(self, process: PredictorProcess) -> None:
        process.leave()

    def died(self, process: PredictorProcess) -> None:
        """The parent sees it too."""

    async def stop(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beat

    async def _fork(self, arguments: Sequence[str], timeout_s: float) -> tuple[Forked, socket.socket]:
        return await self._predictor(timeout_s, trial=False)

    async def _fork_for_trial(self, arguments: Sequence[str], timeout_s: float) -> tuple[Forked, socket.socket]:
        return await self._predictor(timeout_s, trial=True)

    async def _predictor(self, timeout_s: float, *, trial: bool) -> tuple[Forked, socket.socket]:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                answer, _ = await self._ask(WantsPredictor(next(self._ids), trial), [theirs.fileno()], timeout_s)
            assert isinstance(answer, PredictorGiven)
            if not answer.pid:
                raise ForkServerDied("The serving parent has no predictor.")
            return Forked(answer.pid), ours
        except BaseException as error:
            ours.close()
            if isinstance(error, TimeoutError):
                raise ForkServerDied("The serving parent gave no predictor in time.") from None
            raise

    async def _ask(
        self, message: WantsPredictor | WantsMetrics, descriptors: Sequence[int], timeout_s: float
    ) -> tuple[Message, list[int]]:
        answer: asyncio.Future[tuple[Message, list[int]]] = asyncio.get_running_loop().create_future()
        self._waiting[message.id] = answer
        self._send(message, descriptors)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            del self._waiting[message.id]

    def _hear(self, message: Message, descriptors: list[int]) -> None:
        if isinstance(message, PredictorGiven | MetricsGiven):
            waiting = self._waiting.get(message.id)
            if waiting is not None and not waiting.done():
                waiting.set_result((message, descriptors))
                return
        elif isinstance(message, TellMetrics):
            file = file_in_memory(self.tell_metrics())
            self._send(Metrics(message.id), [file])
            os.close(file)
        elif isinstance(message, Drain):
            self.leave()
            self.drain()
        elif isinstance(message, MeetLane):
            for descriptor in descriptors:
                self.meet(socket.socket(fileno=descriptor))
            return
        elif isinstance(message, StandIn):
            self.stand_in(message.lane, [socket.socket(fileno=descriptor) for descriptor in descriptors])
            return
        elif isinstance(message, StandBack):
            self.stand_back(message.lane)
        close_all(descriptors)

    def _send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        if self._channel is not None:
            self._channel.send(message, descriptors)

    async def _show_life(self) -> None:
        while True:
            self._send(LaneState(self._serves))
            await asyncio.sleep(_ALIVE_EVERY_S)
