"""One connection to another lane of the host: batches of ours that it has a predictor for, and the reverse."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

import msgspec

from app.serving.lane_messages import (
    LANGUAGE,
    HeldVersion,
    LaneHolds,
    LaneMessage,
    LanePresent,
    NotRun,
    WantsVersion,
    decode_lane_message,
)
from app.serving.protocol import BadFrame, BatchResult, FrameReader, RunBatch, frame


class LaneListener(Protocol):
    """Who hears what another lane says."""

    def present(self, lane: LaneStream) -> None:
        """It is there, or it is about to leave."""

    def gone(self, lane: LaneStream) -> None:
        """The connection ended; it is no lane of ours."""

    def holds(self, lane: LaneStream) -> None:
        """It has other versions than before."""

    def wants(self, lane: LaneStream, path: str, digest: str) -> None:
        """It has requests for a version that we are to have."""

    def guest(self, lane: LaneStream, guest: Guest) -> None:
        """It has a batch for our predictor."""

    def answered(self, lane: LaneStream, answer: BatchResult | NotRun) -> None:
        """To a batch that we sent."""


class LaneStream(asyncio.Protocol):
    """The other lane, as a runner of batches too.

    Attributes:
        index: of the other lane.
        leaves: it was told to end.
        held, failed: by path and digest, versions that its predictor has, and why others could not be loaded.
    """

    def __init__(self, listener: LaneListener, own_index: int) -> None:
        self.index = -1
        self.leaves = False
        self.held: dict[tuple[str, str], HeldVersion] = {}
        self.failed: dict[tuple[str, str], str] = {}
        self._listener = listener
        self._own_index = own_index
        self._frames = FrameReader()
        self._told: list[HeldVersion] | None = []
        self._transport: asyncio.Transport

    def run(self, run: RunBatch) -> None:
        self._transport.write(frame(run))

    def kill(self) -> None:
        """Ends the connection."""
        self._transport.abort()

    def quiet_s(self, since: float) -> float:
        """It sees for itself whether its predictor hangs, and the serving parent whether it does."""
        return 0.0

    def say(self, message: LaneMessage) -> None:
        if not self._transport.is_closing():
            self._transport.write(frame(message))

    def greet(self, *, leaves: bool = False) -> None:
        self.say(LanePresent(self._own_index, LANGUAGE, leaves))

    def tell(self, held: list[HeldVersion]) -> None:
        """All that we have, where that changed."""
        if held != self._told:
            self._told = held
            self.say(LaneHolds(held))

    def not_run(self, number: int, *, began: bool) -> None:
        """A batch of the other lane will not be answered. It takes the version for lost, so it is told what we have
        again."""
        self.say(NotRun(number, began))
        self._told = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.greet()

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._frames.feed(data):
                self._take(decode_lane_message(payload))
        except BadFrame:
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        self.held, self.failed = {}, {}
        self._listener.gone(self)

    def _take(self, message: LaneMessage) -> None:
        if isinstance(message, BatchResult | NotRun):
            self._listener.answered(self, message)
        elif isinstance(message, RunBatch):
            self._listener.guest(self, Guest(message, self))
        elif isinstance(message, LaneHolds):
            names = [((version.path, version.digest), version) for version in message.versions]
            self.held = {name: version for name, version in names if version.error is None}
            self.failed = {name: version.error for name, version in names if version.error is not None}
            self._listener.holds(self)
        elif isinstance(message, WantsVersion):
            self._listener.wants(self, message.path, message.digest)
        elif message.language == LANGUAGE:
            self.index, self.leaves = message.index, message.leaves
            self._listener.present(self)
        else:
            self.kill()


class Guest:
    """A batch of another lane (a `GuestRun`)."""

    def __init__(self, run: RunBatch, lane: LaneStream) -> None:
        self.run = run
        self.arrived = time.perf_counter()
        self._lane = lane

    def answered(self, answer: BatchResult) -> None:
        self._lane.say(msgspec.structs.replace(answer, id=self.run.id))

    def not_run(self, *, began: bool) -> None:
        self._lane.not_run(self.run.id, began=began)
