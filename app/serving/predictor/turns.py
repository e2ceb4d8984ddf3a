"""Turns of a predictor's threads at its connection: one reads, the others stand by.

The thread that reads runs quick calls itself and reads on: to wake another one for each of them would cost two switches
and a fight for the interpreter. A thread that stands by looks now and then, and takes over when a call takes longer
than it should.
"""

from __future__ import annotations

import threading
import time

SLOW_S = 0.005
"""A call that takes longer holds nobody up: another thread reads meanwhile."""
_LOOK_S, _IDLE_S = 0.02, 0.05
"""Between two looks of a thread that stands by, each of which disturbs the call that runs."""


class ReadingTurn:
    """Whose turn it is to read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given = threading.Event()
        self._holder: int | None = None
        self._busy_since = 0.0

    def take(self) -> None:
        """Waits until this thread is to read."""
        me = threading.get_ident()
        while True:
            with self._lock:
                busy = self._busy_since
                if self._holder is None or (busy and time.perf_counter() - busy > SLOW_S):
                    self._holder, self._busy_since = me, 0.0
                    return
            self._given.wait(_LOOK_S if busy else _IDLE_S)
            self._given.clear()

    def give(self) -> None:
        """Another thread is to read."""
        with self._lock:
            self._holder = None
        self._given.set()

    def begin(self) -> None:
        """This thread has the turn and runs a call."""
        self._busy_since = time.perf_counter()

    def end(self) -> bool:
        """The call is through. Whether this thread still has the turn."""
        with self._lock:
            if self._holder != threading.get_ident():
                return False
            self._busy_since = 0.0
            return True
