"""Ends a Celery main process that lives but no longer takes messages, so that its supervisor starts a fresh one.

A connection can be half open (the other end is gone, nobody said so), or the consumer can have been cancelled: the
process looks well and takes nothing for ever. The watchdog does not ask Celery how it feels. It looks, over a
connection of its own, whether messages wait in the queues that this worker serves while its slot is idle and takes
none of them. After enough looks in a row with that answer, the process ends.

Nothing is lost by it: the slot is idle, and SQL is the truth. A worker that is busy is left alone until its attempt
ends, and one whose broker does not answer waits for it as Celery does.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

log = structlog.get_logger("watchdog")

STUCK = 75
"""Exit code of a main process that took no messages."""

_COUNTS = struct.Struct("QQ")
_IMPATIENT = {
    "socket_timeout": 2.0,
    "socket_connect_timeout": 2.0,
    "read_timeout": 2.0,
    "write_timeout": 2.0,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}


class Taken:
    """How many messages a slot has begun and ended, in memory that the main process and its child share. Make it
    before the child is forked; only the child writes."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _COUNTS.size)

    def read(self) -> tuple[int, int]:
        begun, ended = _COUNTS.unpack_from(self._shared)
        return int(begun), int(ended)

    def reset(self) -> None:
        """For a new child: what its predecessor held is no longer held."""
        begun, _ = self.read()
        _COUNTS.pack_into(self._shared, 0, begun, begun)

    @contextmanager
    def message(self) -> Iterator[None]:
        """Around the work on one message."""
        begun, ended = self.read()
        _COUNTS.pack_into(self._shared, 0, begun + 1, ended)
        try:
            yield
        finally:
            _COUNTS.pack_into(self._shared, 0, begun + 1, begun + 1)


class Watchdog(threading.Thread):
    """Looks again and again.

    Args:
        waiting: how many messages wait for this worker; raises when the broker does not answer.
        taken: what the slot has begun and ended.
        every_s: seconds between two looks.
        looks: how many in a row must find messages and an idle slot. Looks are counted, not seconds: a machine that
            was asleep proves nothing.
        end: ends the process; another one in tests.
    """

    def __init__(
        self,
        waiting: Callable[[], int],
        taken: Taken,
        *,
        every_s: float,
        looks: int = 10,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._waiting, self._taken, self._end = waiting, taken, end
        self._every_s, self._looks = every_s, looks
        self._seen = taken.read()
        self._bad = 0
        self._stopped = threading.Event()

    def stop(self) -> None:
        """No look ends the process after this: it is being stopped in order."""
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """One look."""
        before, self._seen = self._seen, self._taken.read()
        begun, ended = self._seen
        if begun != ended or before != self._seen:
            self._bad = 0
            return
        try:
            waiting = self._waiting()
        except Exception as error:  # whatever the broker's client raises
            log.debug("the broker does not answer", why=type(error).__name__)
            waiting = 0
        self._bad = self._bad + 1 if waiting else 0
        if self._bad >= self._looks and not self._stopped.is_set():
            log.error("messages wait and none is taken; the process ends, to be started again", waiting=waiting)
            self._end(STUCK)


def waiting_messages(app: Any, queues: list[str]) -> int:
    """How many messages lie in some queues of a Celery application's broker; over a new connection, for the one that
    the application has may be what is broken."""
    with app.connection_for_read(transport_options=_IMPATIENT) as connection:
        channel = connection.default_channel
        # with all arguments, for RabbitMQ refuses a declaration that differs
        return sum(int(app.amqp.queues[name](channel).queue_declare().message_count) for name in queues)
