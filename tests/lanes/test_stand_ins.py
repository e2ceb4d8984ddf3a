"""Who accepts connections in the place of a lane that died."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from app.lanes.generation import Lane
from app.lanes.messages import StandBack, StandIn
from app.lanes.stand_ins import StandIns


class Place:
    """A lane that remembers what it was told."""

    def __init__(self, index: int, *, serves: bool = True) -> None:
        self.index, self.serves = index, serves
        self.told: list[tuple[Any, list[int]]] = []
        self.channel = SimpleNamespace(send=lambda message, files=(): self.told.append((message, list(files))))

    def heard(self) -> list[tuple[Any, list[int]]]:
        told, self.told = self.told, []
        return told


def stand_ins(places: int) -> StandIns:
    """Of places whose listeners have the descriptors 100, 101, …"""
    return StandIns([[cast(Any, SimpleNamespace(fileno=lambda number=100 + i: number))] for i in range(places)])


def lanes(*places: Place) -> list[Lane]:
    return cast(list[Lane], list(places))


def test_first_successor_accepts_for_all_places_when_both_lanes_died() -> None:
    found = stand_ins(2)
    for dead in lanes(Place(0), Place(1)):
        found.died(dead)
        found.cover([])
    first, second = Place(0), Place(1, serves=False)
    found.serves(*lanes(first), lanes(first, second))
    found.cover(lanes(first, second))
    assert first.heard() == [(StandIn(1), [101])]

    second.serves = True
    found.serves(*lanes(second), lanes(first, second))
    found.cover(lanes(first, second))
    assert (first.heard(), second.heard()) == ([(StandBack(1), [])], [(StandBack(0), [])])


def test_place_is_covered_anew_when_its_stand_in_dies_too() -> None:
    first, second, third = Place(0), Place(1), Place(2)
    found = stand_ins(3)
    found.died(*lanes(first))
    found.cover(lanes(second, third))
    assert second.heard() == [(StandIn(0), [100])]

    found.died(*lanes(second))
    found.cover(lanes(third))
    assert third.heard() == [(StandIn(0), [100]), (StandIn(1), [101])]
    found.cover(lanes(third))
    assert third.heard() == []


def test_vacant_places_are_shared_out() -> None:
    third, fourth = Place(2), Place(3)
    found = stand_ins(4)
    for dead in lanes(Place(0), Place(1)):
        found.died(dead)
    found.cover(lanes(third, fourth))
    assert (third.heard(), fourth.heard()) == ([(StandIn(0), [100])], [(StandIn(1), [101])])
