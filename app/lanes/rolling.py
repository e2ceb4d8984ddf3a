"""A rolling restart: lanes of a new generation take the places of the old ones, one by one, and no request fails.

A new lane accepts on the same listeners once it has all versions; the old one then accepts no more, answers what it has
with `Connection: close`, and ends.
"""

from __future__ import annotations

import asyncio

import structlog

from app.lanes.generation import Generation, Lane
from app.serving.forkserver import ForkServerDied

log = structlog.get_logger("app.lanes")

_SERVES_WITHIN_S = 300.0
_DRAINED_WITHIN_S = 40.0


class _Failed(Exception):
    """A new lane does not serve."""


async def roll(old: Generation, new: Generation, lanes: int) -> bool:
    """Whether the new generation serves now. Else the old one does, all of it, as if nothing had been."""
    for index in range(lanes):
        try:
            await _exchange(index, new, old)
        except (_Failed, ForkServerDied) as error:
            log.error("rolling restart given up, the old code and settings serve on", lane=index, why=str(error))
            for back in range(index):
                await _exchange(back, old, new)
            await new.stop()
            return False
    await old.stop()
    return True


async def _exchange(index: int, new: Generation, old: Generation) -> None:
    lane = await new.start(index, _SERVES_WITHIN_S, joins=True)
    log.info("lane joins", lane=index, pid=lane.process.pid)
    if not await _serves(lane):
        lane.process.kill()
        raise _Failed("The new lane ended, or did not serve in time.")
    lane.joins = False
    for before in [one for one in old.lanes if one.index == index]:
        before.drain()
        try:
            async with asyncio.timeout(_DRAINED_WITHIN_S):
                await before.gone.wait()
        except TimeoutError:
            log.warning("lane did not end in time, killed", lane=index, pid=before.process.pid)
            before.process.kill()
            await before.gone.wait()


async def _serves(lane: Lane) -> bool:
    served, gone = asyncio.create_task(lane.served.wait()), asyncio.create_task(lane.gone.wait())
    try:
        await asyncio.wait({served, gone}, timeout=_SERVES_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        served.cancel()
        gone.cancel()
    return lane.serves and not lane.ended
