"""Lanes that accept connections in the place of one that died, until its successor serves."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

from app.lanes.generation import Lane
from app.lanes.messages import StandBack, StandIn


class StandIns:
    """Who accepts from the listeners of places whose lane died.

    Args:
        listeners: of each place.
    """

    def __init__(self, listeners: Sequence[Sequence[socket.socket]]) -> None:
        self._listeners = listeners
        self._vacant: dict[int, Lane | None] = {}

    def died(self, lane: Lane) -> None:
        """Its place is vacant; `cover` comes next."""
        self._vacant[lane.index] = None

    def cover(self, lanes: Iterable[Lane]) -> None:
        """Gives each vacant place that nobody looks after to a lane that serves, where there is one: so also once the
        first lane serves again after all were gone.

        Args:
            lanes: all that live and were not told to end.
        """
        serving = [lane for lane in lanes if lane.serves]
        for index, present in list(self._vacant.items()):
            if any(lane.index == index for lane in serving):
                del self._vacant[index]  # two had the place, as in a rolling restart
            elif serving and present not in serving:
                lane = self._vacant[index] = min(serving, key=self._places)
                lane.channel.send(StandIn(index), [listener.fileno() for listener in self._listeners[index]])

    def serves(self, lane: Lane, lanes: Iterable[Lane]) -> None:
        """A lane accepts in its own place now."""
        self._vacant.pop(lane.index, None)
        for other in lanes:
            if other is not lane:
                other.channel.send(StandBack(lane.index))

    def _places(self, lane: Lane) -> int:
        return sum(lane is present for present in self._vacant.values())
