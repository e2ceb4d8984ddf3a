"""Collects the metrics of the other lanes for a lane that is asked for its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from app.lanes.generation import Lane
from app.lanes.messages import Metrics, MetricsGiven, TellMetrics, WantsMetrics, close_all

_WITHIN_S = 1.0


class _Question:
    """What one lane asked, and what came so far."""

    def __init__(self, asker: Lane, number: int, waits_for: set[int]) -> None:
        self.asker = asker
        self.number = number
        self.waits_for = waits_for
        self.files: dict[int, int] = {}


class MetricsDesk:
    """Asks the other lanes for a lane that asks.

    Args:
        lanes: those that live now.
    """

    def __init__(self, lanes: Callable[[], Sequence[Lane]]) -> None:
        self._lanes = lanes
        self._ids = count(1)
        self._questions: dict[int, _Question] = {}

    def hear(self, lane: Lane, message: WantsMetrics | Metrics, files: list[int]) -> None:
        if isinstance(message, WantsMetrics):
            close_all(files)
            self._ask(lane, message.id)
            return
        question = self._questions.get(message.id)
        if question is None or lane.index not in question.waits_for or len(files) != 1:
            close_all(files)
            return
        question.waits_for.discard(lane.index)
        question.files[lane.index] = files[0]
        if not question.waits_for:
            self._answer(message.id)

    def _ask(self, asker: Lane, number: int) -> None:
        others = [lane for lane in self._lanes() if lane.serves and lane.index != asker.index]
        ticket = next(self._ids)
        self._questions[ticket] = _Question(asker, number, {lane.index for lane in others})
        for lane in others:
            lane.channel.send(TellMetrics(ticket))
        if others:
            asyncio.get_running_loop().call_later(_WITHIN_S, self._answer, ticket)
        else:
            self._answer(ticket)

    def _answer(self, ticket: int) -> None:
        """With what there is: a lane that hangs holds up no look at the others."""
        question = self._questions.pop(ticket, None)
        if question is not None:
            files = list(question.files.values())
            question.asker.channel.send(MetricsGiven(question.number, list(question.files)), files)
            close_all(files)
