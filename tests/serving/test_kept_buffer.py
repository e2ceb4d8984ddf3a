"""What is kept for the next write is bounded."""

from __future__ import annotations

from typing import Any

from app.releases.keep import KeepPolicy
from app.serving.asked import Answered, JsonAsked
from app.serving.kept_buffer import KeptBuffer

ALL = KeepPolicy(1000, 30.0, 2**30)


def offer(buffer: KeptBuffer, *, rows: int = 1, size: int = 10, keep: KeepPolicy = ALL) -> None:
    decoder: Any = None
    answered = Answered(JsonAsked("predict", b""), decoder, b"12345", as_tensors=False, rows=rows, size=size)
    buffer.offer(keep, b"pred_1", "m", 1, answered)


def test_instances_are_counted_and_the_first_request_is_always_taken() -> None:
    buffer = KeptBuffer(most_rows=100)
    offer(buffer, rows=1000)
    offer(buffer)
    assert [kept.answered.rows for kept in buffer.take()] == [1000]
    offer(buffer, rows=60)
    offer(buffer, rows=60)
    offer(buffer, rows=40)
    assert [kept.answered.rows for kept in buffer.take()] == [60, 40]
    assert (buffer.take_dropped(), buffer.take_dropped()) == (2, 0)


def test_bytes_of_requests_and_answers_are_bounded() -> None:
    buffer = KeptBuffer(most_bytes=40)
    for size in (36, 10, 20):  # 5 more for the answer
        offer(buffer, size=size)
    assert [kept.answered.size for kept in buffer.take()] == [10, 20]
    assert buffer.take_dropped() == 1
    offer(buffer, size=35)
    assert len(buffer.take()) == 1


def test_share_of_requests_is_kept() -> None:
    buffer = KeptBuffer()
    for _ in range(4000):
        offer(buffer, keep=KeepPolicy(250, 30.0, 2**30))
    # 1,000 expected, of standard deviation 27
    assert abs(len(buffer.take()) - 1000) < 6 * 27
    offer(buffer, keep=KeepPolicy(0, 30.0, 2**30))
    assert buffer.take() == []
