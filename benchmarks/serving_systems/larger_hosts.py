"""What larger hosts would do, calculated from what lanes cost here.

Two things grow with lanes that two cores do not show. The kernel gives each connection to a lane by a hash, whoever is
busy: with few connections a lane the busiest one has far more than its share. And what all lanes of a host share
(serving parent, fork servers, spare predictor) is one process each.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_ROUNDS = 400


@dataclass(frozen=True)
class Measured:
    """Of a run with some lanes, busy all the time.

    Attributes:
        shared_s: processor time a second of all processes that are neither a lane nor its predictor.
        lane_us: processor time a request of lane and predictor.
    """

    lanes: int
    shared_s: float
    lane_us: float


def most(lanes: int, connections: int, seed: int = 1) -> float:
    """Connections of the busiest lane by the mean of all, when each comes to any lane with the same chance; mean of
    400 draws."""
    chance = random.Random(seed)
    drawn = (max(Counter(chance.choices(range(lanes), k=connections)).values()) for _ in range(_ROUNDS))
    return sum(drawn) * lanes / connections / _ROUNDS


def shared_s(measured: list[Measured], lanes: int) -> float:
    """Processor seconds a second of what lanes share: the straight line through the runs with the fewest and the most
    lanes, no less than the last run's."""
    few, many = min(measured, key=lambda one: one.lanes), max(measured, key=lambda one: one.lanes)
    slope = (many.shared_s - few.shared_s) / (many.lanes - few.lanes) if many.lanes > few.lanes else 0.0
    return many.shared_s + max(0.0, slope) * (lanes - many.lanes)


def table(measured: list[Measured], cores: list[int]) -> Iterator[str]:
    """Rows for hosts with so many cores and a lane on each, clients elsewhere."""
    lane_us = max(measured, key=lambda one: one.lanes).lane_us
    for lanes in cores:
        for each in (4, 64, 1024):
            uneven = most(lanes, lanes * each)
            ideal = lanes * 1e6 / lane_us
            yield (
                f"| {lanes} | {lanes * each:,} | {uneven:.2f} | {ideal:,.0f} | {ideal / uneven:,.0f} "
                f"| {shared_s(measured, lanes):.3f} |"
            )
