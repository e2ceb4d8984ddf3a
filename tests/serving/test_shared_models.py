"""Which lanes have a model, and what becomes of a lane's requests for one that another lane has."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from app.errors import Unavailable
from app.serving.decode import Decoder
from app.serving.description import Description
from app.serving.lane_messages import LanePresent
from app.serving.model_limits import ModelSettings
from app.serving.protocol import frame
from app.serving.serving_version import ServingVersion
from app.serving.shared_models import PATIENCE_S, SharedModels
from app.serving.versions import Models
from tests.fakes import ManualClock
from tests.serving.test_batcher import EXPORT, Desk, in_loop
from tests.serving.test_models import want
from tests.waiting import until


class LaneSide:
    """One lane, with version 1 of the model `m` known; its predictor is a fake."""

    def __init__(self, index: int, *labels: str) -> None:
        self.desk = Desk()
        self.models = Models()
        self.others = SharedModels(index, 2)
        self.others.bind(self.models, self.desk.batcher, self._describe, ServingVersion.failed, self.others.look)
        self.models.sync([want(1, *labels, settings=ModelSettings(lanes=1))])
        self.version = self.models.versions["m", 1]

    async def _describe(self, version: ServingVersion) -> None:
        version.describe(Description(EXPORT, Decoder(EXPORT, max_rows=10), 100))

    async def load(self) -> None:
        await self._describe(self.version)
        assert self.version.queue is not None
        self.desk.batcher.open(self.version.queue, self.version.key)
        self.others.look()

    def die(self) -> None:
        """The predictor."""
        assert self.version.queue is not None
        self.desk.batcher.close(self.version.queue)
        self.desk.batcher.lost()
        self.desk.batcher.predictor = self.desk.predictor
        self.desk.predictor.runs.clear()
        self.others.look()

    def ask(self, value: float) -> asyncio.Future[Any]:
        assert self.version.queue is not None
        return self.desk.ask(self.version.queue, value)


async def pair(*labels: str) -> tuple[LaneSide, LaneSide]:
    """Two lanes that know each other: the one that is to have the model, and the other."""
    sides = LaneSide(0, *labels), LaneSide(1, *labels)
    for side, connection in zip(sides, socket.socketpair(), strict=True):
        side.others.meet(connection)
    holder, guest = sorted(sides, key=lambda side: not side.others.here(side.version))
    assert not guest.others.here(guest.version)
    return holder, guest


async def stop(*sides: LaneSide) -> None:
    for side in sides:
        await side.others.stop()


def test_models_spread_over_lanes_and_a_lane_alone_has_all() -> None:
    clock = ManualClock()
    lanes = [SharedModels(index, 3, clock=clock) for index in range(3)]

    def having(most: int) -> list[list[bool]]:
        models = Models()
        models.sync([want(1, model=f"m{number}", settings=ModelSettings(lanes=most)) for number in range(90)])
        return [[lane.here(version) for lane in lanes] for version in models.versions.values()]

    assert all(sum(found) == 2 for found in having(2))
    assert all(sum(found) == 1 for found in having(1))
    assert all(15 <= sum(column) <= 45 for column in zip(*having(1), strict=True))  # 30 in the mean
    clock.advance(PATIENCE_S)  # no other lane has come
    assert all(sum(found) == 3 for found in having(1))


@in_loop
async def test_requests_go_to_the_lane_that_has_the_version_and_once_more_when_its_predictor_dies() -> None:
    holder, guest = await pair("latest")
    await holder.load()
    await until(lambda: guest.version.loaded)
    assert (guest.version.held, guest.version.due, guest.others.awaited) == (False, False, False)
    first, own = guest.ask(1.0), holder.ask(2.0)
    await until(lambda: holder.desk.predictor.runs)
    holder.desk.answer()
    await until(lambda: holder.desk.predictor.runs)
    holder.desk.answer()
    assert ((await first).body, (await own).body) == (b"[1.0]", b"[2.0]")
    again = guest.ask(3.0)
    for _ in range(2):
        await until(lambda: holder.desk.predictor.runs)
        holder.die()
        await until(lambda: not guest.version.loaded)
        await holder.load()
        await until(lambda: guest.version.loaded)
    with pytest.raises(Unavailable):
        await again
    assert not guest.desk.predictor.runs
    await stop(holder, guest)


@in_loop
async def test_batch_that_had_not_begun_waits_until_the_version_is_back() -> None:
    holder, guest = await pair("latest")
    await holder.load()
    await until(lambda: guest.version.loaded)
    own, reply = holder.ask(1.0), guest.ask(2.0)
    await until(lambda: holder.version.queue is not None and holder.version.queue.guests)
    assert holder.version.queue is not None
    holder.desk.batcher.close(holder.version.queue)  # it is unloaded
    holder.others.look()
    holder.desk.answer()
    await until(lambda: not guest.version.loaded)
    await holder.load()
    await until(lambda: holder.desk.predictor.runs)
    holder.desk.answer()
    assert ((await own).body, (await reply).body) == (b"[1.0]", b"[2.0]")
    await stop(holder, guest)


@in_loop
async def test_lane_that_is_to_end_answers_until_another_one_has_its_models() -> None:
    holder, guest = await pair("latest")
    await holder.load()
    await until(lambda: guest.version.loaded)
    assert guest.models.to_load(unvalidated=True) is None
    holder.others.leave()
    await until(lambda: guest.models.to_load(unvalidated=True) is guest.version)
    assert guest.version.loaded
    await guest.load()
    assert guest.version.held
    await until(lambda: next(iter(holder.others._known)).held)
    await stop(holder, guest)


@in_loop
async def test_version_that_the_holder_cannot_load_is_refused_with_its_reason() -> None:
    holder, guest = await pair("latest")
    await guest._describe(guest.version)
    holder.version.failed("It is broken.")
    holder.others.look()
    await until(lambda: guest.version.error == "It is broken.")
    await holder.load()
    await until(lambda: guest.version.loaded)
    assert guest.version.error is None
    await stop(holder, guest)


@in_loop
async def test_version_without_a_label_is_loaded_when_another_lane_is_asked_for_it() -> None:
    holder, guest = await pair()
    await guest._describe(guest.version)
    assert holder.models.to_load(unvalidated=True) is None
    guest.ask(1.0)
    await until(lambda: guest.others._known)
    guest.others.look()
    await until(lambda: holder.models.to_load(unvalidated=True) is holder.version)
    assert guest.models.to_load(unvalidated=True) is None
    await stop(holder, guest)


@in_loop
async def test_lane_of_other_code_is_nobody() -> None:
    side = LaneSide(0, "latest")
    ours, theirs = socket.socketpair()
    side.others.meet(ours)
    theirs.setblocking(False)
    theirs.send(frame(LanePresent(1, "other")))
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        while await loop.sock_recv(theirs, 4096):
            pass
    assert not side.others._known
    theirs.close()
    await stop(side)
