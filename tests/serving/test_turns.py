"""Turns of a predictor's threads: one reads, another takes over when a call takes long or the turn is given."""

from __future__ import annotations

import threading

from app.serving.predictor.turns import ReadingTurn


def stand_by(turn: ReadingTurn) -> tuple[threading.Thread, threading.Event]:
    reads = threading.Event()

    def wait() -> None:
        turn.take()
        reads.set()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, reads


def test_thread_that_stands_by_takes_over_from_a_slow_call() -> None:
    turn = ReadingTurn()
    turn.take()
    turn.begin()
    assert turn.end()  # quick: it reads on
    turn.begin()
    thread, reads = stand_by(turn)
    assert reads.wait(60)
    assert not turn.end()  # it was slow, and has the turn no more
    thread.join()


def test_turn_that_is_given_is_taken() -> None:
    turn = ReadingTurn()
    turn.take()
    thread, reads = stand_by(turn)
    assert not reads.wait(0.2)  # nobody takes it from a thread that reads
    turn.give()
    assert reads.wait(60)
    thread.join()
