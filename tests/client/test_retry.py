"""When the client sends a request again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from estimator_client.retry import Attempts, seconds_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def attempts(patience_s: float = 30.0, *, repeatable: bool = True, clock: Clock | None = None) -> Attempts:
    """The random half of a wait is all of it: waits are 0.25, 0.5, 1, 2, 4, 8, 8 … s."""
    return Attempts(patience_s, repeatable, clock or Clock(), lambda: 1.0)


@pytest.mark.parametrize(
    ("status", "repeatable", "again"),
    [
        (429, False, True),
        (503, False, True),
        (502, False, False),
        (502, True, True),
        (504, True, True),
        (None, False, False),
        (None, True, True),
        (200, True, False),
        (404, True, False),
        (409, True, False),
        (422, True, False),
        (500, True, False),
    ],
)
def test_only_what_may_help_and_may_be_repeated_is_tried_again(
    status: int | None, repeatable: bool, again: bool
) -> None:
    assert (attempts(repeatable=repeatable).wait_after(status) is not None) is again


def test_waits_double_up_to_eight_seconds() -> None:
    one = attempts(100)

    assert [one.wait_after(503) for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 8, 8]


def test_half_of_each_wait_is_random() -> None:
    assert Attempts(30, True, Clock(), lambda: 0.0).wait_after(503) == 0.125


def test_retry_after_is_honoured_when_it_is_longer() -> None:
    one = attempts()

    assert one.wait_after(503, "3") == 3
    # 0.5 s is the second wait of our own
    assert one.wait_after(503, "0") == 0.5


def test_no_attempt_begins_after_the_patience() -> None:
    clock = Clock()
    one = attempts(5, clock=clock)

    assert one.wait_after(503, "6") is None
    clock.now = 4
    assert one.wait_after(503, "1") == 1
    clock.now = 4.5
    assert one.wait_after(503, "1") is None


def test_no_patience_means_one_attempt() -> None:
    assert attempts(0).wait_after(503) is None


def test_retry_after_may_be_seconds_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=60), usegmt=True)

    assert seconds_of("1.5") == 1.5
    assert seconds_of("-1") == 0
    assert 3000 < (seconds_of(soon) or 0) <= 3600
    assert seconds_of(past) == 0
    assert [seconds_of(text) for text in (None, "", "soon")] == [None, None, None]
