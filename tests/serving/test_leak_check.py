"""When a predictor counts as leaking."""

from __future__ import annotations

from typing import Any, cast

from app.serving.leak_check import LeakCheck
from app.serving.predictor_process import PredictorProcess
from tests.fakes import ManualClock


class Holding:
    """A predictor that holds so many bytes."""

    pid = 1

    def __init__(self, held: int) -> None:
        self.held = held
        self.killed = False

    def memory_bytes(self) -> int:
        return self.held

    def kill(self) -> None:
        self.killed = True


def check(leaks: LeakCheck, predictor: Any, versions_bytes: int) -> None:
    leaks.check(cast(PredictorProcess | None, predictor), versions_bytes)


def test_memory_beyond_the_limit_and_twice_the_versions_is_a_leak() -> None:
    # 100 + 2 * 30 = 160 bytes are allowed
    leaks = LeakCheck(100, every_s=0.0, clock=ManualClock())
    allowed, leaking = Holding(160), Holding(161)
    check(leaks, allowed, 30)
    check(leaks, leaking, 30)
    assert (allowed.killed, leaking.killed) == (False, True)


def test_a_look_is_taken_once_per_interval() -> None:
    clock = ManualClock()
    leaks = LeakCheck(100, every_s=10.0, clock=clock)
    check(leaks, None, 0)  # there is no process yet: the interval does not begin
    check(leaks, Holding(0), 0)
    predictor = Holding(1000)
    clock.advance(9.9)
    check(leaks, predictor, 0)
    assert not predictor.killed
    clock.advance(0.1)
    check(leaks, predictor, 0)
    assert predictor.killed
