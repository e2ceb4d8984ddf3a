"""The serving parent: keeps what the lanes of a host share, and the lanes alive.

    python -m app.lanes

It owns the listening sockets, the fork servers and the predictors, and answers no request itself: what can crash runs
in the lanes. A lane that dies is replaced by a fork that gets the same listeners and the same predictor, with its
versions in memory.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from app.config import Settings
from app.lanes.generation import Generation, Lane, Seats
from app.lanes.listeners import listen
from app.lanes.messages import MeetLane
from app.lanes.metrics_desk import MetricsDesk
from app.lanes.rolling import roll
from app.lanes.stand_ins import StandIns
from app.log import configure
from app.private_files import only_for_us, protect
from app.process import ONE_NUMPY_THREAD, adopt_orphans, name_process, pulse
from app.serving.forkserver import POSSIBLE, ForkServerDied

log = structlog.get_logger("app.lanes")

STOP_WITHIN_S = 12.0
_LOOK_EVERY_S = 0.5
_START_S = 120.0
"""What a lane may take from its start to its first sign of life."""
_PATIENCE_S = 1.0
"""How long a lane that follows one which died may wait for its versions before it accepts: clients wait meanwhile."""
_QUICK_END_S = 5.0
_BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
_PAUSE_S = 2.0
"""A look that comes so much later than it should: this process, or the machine, stood still meanwhile."""


class ServingParent:
    """Starts lanes, looks after them, and ends them in order.

    Args:
        listeners: of each lane.
        grpc_port: that some of them are of; 0: none.
    """

    def __init__(self, settings: Settings, listeners: Sequence[Sequence[socket.socket]], *, grpc_port: int = 0) -> None:
        self._settings = settings
        self._grpc_port = grpc_port
        self._rolling: asyncio.Task[None] | None = None
        self._listeners = listeners
        self._metrics = MetricsDesk(lambda: self.lanes)
        self._seats = Seats(len(listeners))
        self._stand_ins = StandIns(listeners)
        self._quick_ends = [0] * len(listeners)
        self._stopping, self._empty = asyncio.Event(), asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        self._looked_at = time.monotonic()
        self._generation = self._new_generation(settings)
        self._generations = [self._generation]

    @property
    def lanes(self) -> list[Lane]:
        """All that live and were not told to end; during a rolling restart there may be two in one place."""
        found = (lane for generation in self._generations for lane in generation.lanes if not lane.drains)
        return sorted(found, key=lambda lane: lane.index)

    def fork_nurseries(self) -> None:
        """Starts those of the first lanes as forks of this process, before it runs. Later ones, after a death or for a
        rolling restart, import the code as it is then."""
        self._generation.begin_as_forks()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; then the lanes answer what they have."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self.roll)
        loop.add_signal_handler(signal.SIGCHLD, _clear_away_the_dead)
        for index in range(len(self._listeners)):
            self._start(self._generation, index, 0.0, patience_s=0.0)
        nurseries = asyncio.create_task(self._keep_nurseries(), name="nurseries")
        while not self._stopping.is_set():
            self._look_at_lanes()
            pulse()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._stopping.wait()
        nurseries.cancel()
        await self._stop()

    def roll(self) -> None:
        """Replaces all lanes by ones with the code and the settings as they are now; not while it is being done."""
        if self._rolling is None and not self._stopping.is_set():
            self._rolling = asyncio.create_task(self._roll(), name="rolling-restart")

    async def _roll(self) -> None:
        try:
            settings = Settings()
        except ValueError as error:
            log.error("rolling restart refused: a setting is wrong", why=str(error))
            self._rolling = None
            return
        if _kept(settings) != _kept(self._settings):
            log.warning("HOST, PORT, GRPC_PORT and SERVING_LANES change with a restart of the serving parent only")
        old, new = self._generation, self._new_generation(settings)
        self._generations.append(new)
        log.info("rolling restart begins")
        try:
            if await roll(old, new, len(self._listeners)):
                self._generation, self._settings = new, settings
                log.info("rolling restart done")
        finally:
            if not self._stopping.is_set():
                self._generations = [self._generation]
            self._rolling = None

    def _new_generation(self, settings: Settings) -> Generation:
        return Generation(
            settings,
            self._listeners,
            self._seats,
            grpc_port=self._grpc_port,
            on_life=self._introduce,
            on_change=self._serves,
            on_end=self._ended,
            on_metrics=self._metrics.hear,
        )

    async def _keep_nurseries(self) -> None:
        """A task of its own: it may wait for a fork that is under way."""
        while True:
            for generation in list(self._generations):
                await generation.begin()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _start(self, generation: Generation, index: int, after_s: float, *, patience_s: float) -> None:
        task = asyncio.create_task(self._start_later(generation, index, after_s, patience_s), name=f"lane-{index}")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start_later(self, generation: Generation, index: int, after_s: float, patience_s: float) -> None:
        while True:
            await asyncio.sleep(after_s)
            if generation not in self._generations:
                return  # another one has its place
            try:
                lane = await generation.start(index, patience_s)
            except ForkServerDied as error:
                log.warning("lane did not start", lane=index, event_detail=str(error))
                after_s = _BACKOFF_S[3]
                continue
            log.info("lane started", lane=index, pid=lane.process.pid)
            return

    def _introduce(self, lane: Lane) -> None:
        """Connects a lane with all others, once: they read what is sent to them by now."""
        if lane.met:
            return
        lane.met = True
        for other in self.lanes:
            if other.met and other is not lane:
                ends = socket.socketpair()
                for one, end in zip((lane, other), ends, strict=True):
                    one.channel.send(MeetLane(), [end.fileno()])
                    end.close()

    def _serves(self, lane: Lane) -> None:
        log.info(
            "lane serves", lane=lane.index, pid=lane.process.pid, after_s=round(lane.alive_at - lane.started_at, 3)
        )
        self._stand_ins.serves(lane, self.lanes)
        self._stand_ins.cover(self.lanes)
        if lane.generation.pool is not None:
            lane.generation.pool.keep_spare()

    def _ended(self, lane: Lane) -> None:
        if self._stopping.is_set():
            self._check_if_empty()
            return
        if lane.drains or lane.joins:
            return
        quick = time.monotonic() - lane.started_at < _QUICK_END_S
        ends = self._quick_ends[lane.index] = self._quick_ends[lane.index] + 1 if quick else 0
        wait = _BACKOFF_S[min(ends, len(_BACKOFF_S) - 1)]
        self._stand_ins.died(lane)
        self._stand_ins.cover(self.lanes)
        log.warning("lane ended, another takes its place", lane=lane.index, pid=lane.process.pid, in_s=wait)
        self._start(lane.generation, lane.index, wait, patience_s=_PATIENCE_S)

    def _look_at_lanes(self) -> None:
        """Ends lanes that hang, and lets others stand in where one that stood in was told to end."""
        self._stand_ins.cover(self.lanes)
        now = time.monotonic()
        stood_still = now - self._looked_at > _PAUSE_S
        self._looked_at = now
        for lane in self.lanes:
            if stood_still:
                lane.alive_at = now
            silent = now - lane.alive_at
            if silent > (self._settings.hang_s if lane.serves else max(self._settings.hang_s, _START_S)):
                log.error("lane hangs, is killed", lane=lane.index, pid=lane.process.pid, silent_s=round(silent, 1))
                lane.process.kill()

    async def _stop(self) -> None:
        for task in [*self._starting, *([self._rolling] if self._rolling is not None else [])]:
            task.cancel()
        generations = list(self._generations)
        for lane in [lane for generation in generations for lane in generation.lanes]:
            lane.process.send_signal(signal.SIGTERM)
        self._check_if_empty()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._empty.wait()
        for generation in generations:
            await generation.stop()

    def _check_if_empty(self) -> None:
        if not any(generation.lanes for generation in self._generations):
            self._empty.set()


def _kept(settings: Settings) -> tuple[str, int, int, int]:
    return settings.host, settings.port, settings.grpc_port, settings.lanes


def _clear_away_the_dead() -> None:
    """Whoever ends below us is ours to bury; that they ended is seen by their sockets."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    settings = Settings()
    configure(settings.log_level)
    if not POSSIBLE:
        if settings.lanes > 1:
            raise SystemExit("SERVING_LANES above 1 needs Linux with pidfd_open.")
        os.execv(sys.executable, [sys.executable, "-m", "app.main"])  # noqa: S606  there is one way to run it then
    only_for_us(*settings.broker_directories)
    for found in protect(settings.private_directories, settings.private_files):
        log.warning("files were not for this user alone", found=found)
    try:
        listeners = listen(settings.host, settings.port, settings.lanes)
        port = listeners[0][0].getsockname()[1]
        grpc_port = settings.grpc_port if settings.predictor != "none" else 0
        if grpc_port:
            grpc_listeners = listen(settings.host, grpc_port, settings.lanes)
            listeners = [[*own, *grpc] for own, grpc in zip(listeners, grpc_listeners, strict=True)]
    except OSError as error:
        raise SystemExit(f"Cannot listen on {settings.host}, PORT or GRPC_PORT: {error}") from None
    adopt_orphans()
    name_process("serving-parent")
    log.info("listens", host=settings.host, port=port, lanes=settings.lanes)
    os.environ.update(ONE_NUMPY_THREAD | os.environ)  # a second thread, and we could not fork
    importlib.import_module("app.main")  # for those that are forked below: one import, one copy in memory
    gc.freeze()
    parent = ServingParent(settings, listeners, grpc_port=grpc_port)
    parent.fork_nurseries()
    asyncio.run(parent.run())
