"""A table in memory that the lanes of a host share: who uses how much of what. Imports nothing of ours.

Each lane has a seat, and writes the counters of its seat only, so that counting needs no lock; a sum over the seats is
what the host has. Rows are found by a digest of their name, in one of eight places; where all eight are in use, there
is no row, and whoever asks counts for himself alone. What several lanes write (levels of buckets) is written under a
lock of the file, which ends with the process that has it.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

COUNTERS = 2
LEVELS = 3
_SETS, _WAYS = 512, 8
_KEY_WORDS = 2
_IDLE_S = 60.0
"""A row without counts whose buckets rested for so long may be given to another name."""
_CONNECTIONS, _SERVES, _HEADER = 0, 1, 2


class HostTable:
    """The table as one lane, or the parent, has it.

    Args:
        descriptor: of the file in memory, from `make`.
        seats: number of seats.
        seat: our own.
    """

    def __init__(self, descriptor: int, seats: int, seat: int = 0) -> None:
        self.descriptor = descriptor
        self.seats = seats
        self._seat = seat
        self._stride = _KEY_WORDS + COUNTERS * seats + 2 * LEVELS
        self._rows_at = _HEADER * seats
        memory = memoryview(mmap.mmap(descriptor, self._words() * 8))
        self._words_view = memory.cast("q")
        self._numbers_view = memory.cast("d")

    @classmethod
    def make(cls, seats: int) -> HostTable:
        """An empty table in a new file."""
        descriptor = os.memfd_create("host-table")
        stride = _KEY_WORDS + COUNTERS * seats + 2 * LEVELS
        os.ftruncate(descriptor, 8 * (_HEADER * seats + _SETS * _WAYS * stride))
        return cls(descriptor, seats)

    def row(self, name: str) -> Row | None:
        """The row of a name, new where there is none; None where there is no place for it."""
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        key = int.from_bytes(digest[:8], "little", signed=True), int.from_bytes(digest[8:], "little", signed=True) | 1
        first = self._rows_at + (key[0] % _SETS) * _WAYS * self._stride
        places = [first + way * self._stride for way in range(_WAYS)]
        with self.lock():
            for place in places:
                if self._key_at(place) == key:
                    return Row(self, place, key)
            for place in sorted(places, key=lambda place: self._words_view[place + 1] != 0):  # empty ones first
                if self._is_free(place):
                    for word in range(place, place + self._stride):
                        self._words_view[word] = 0
                    self._words_view[place], self._words_view[place + 1] = key
                    return Row(self, place, key)
        return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One process at a time; call it from one thread of each."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def set_connections(self, count: int) -> None:
        self._words_view[_HEADER * self._seat + _CONNECTIONS] = count

    def connections_elsewhere(self) -> int:
        return sum(self._words_view[at * _HEADER + _CONNECTIONS] for at in range(self.seats) if at != self._seat)

    def now_serves(self) -> None:
        self._words_view[_HEADER * self._seat + _SERVES] = 1

    def serving(self) -> list[int]:
        """Seats whose lanes serve."""
        return [at for at in range(self.seats) if self._words_view[at * _HEADER + _SERVES]]

    def serving_elsewhere(self) -> list[int]:
        return [at for at in self.serving() if at != self._seat]

    def clear(self, seat: int) -> None:
        """Nobody sits there any more."""
        for word in range(_HEADER * seat, _HEADER * (seat + 1)):
            self._words_view[word] = 0
        for row in range(_SETS * _WAYS):
            start = self._rows_at + row * self._stride + _KEY_WORDS + COUNTERS * seat
            for word in range(start, start + COUNTERS):
                if self._words_view[word]:
                    self._words_view[word] = 0

    def _words(self) -> int:
        return self._rows_at + _SETS * _WAYS * self._stride

    def _key_at(self, place: int) -> tuple[int, int]:
        return self._words_view[place], self._words_view[place + 1]

    def _is_free(self, place: int) -> bool:
        if not self._words_view[place + 1]:
            return True
        levels = place + _KEY_WORDS + COUNTERS * self.seats
        if any(self._words_view[word] for word in range(place + _KEY_WORDS, levels)):
            return False
        filled = (self._numbers_view[levels + 2 * number + 1] for number in range(LEVELS))
        return max(filled) < time.monotonic() - _IDLE_S


class Row:
    """One name's counters and levels."""

    __slots__ = ("_counters", "_key", "_levels", "_own", "_place", "_table")

    def __init__(self, table: HostTable, place: int, key: tuple[int, int]) -> None:
        self._table = table
        self._place = place
        self._key = key
        self._counters = place + _KEY_WORDS
        self._own = self._counters + COUNTERS * table._seat
        self._levels = self._counters + COUNTERS * table.seats

    @property
    def valid(self) -> bool:
        """The row still belongs to this name: one that rested may have been given away."""
        return self._table._key_at(self._place) == self._key

    def set(self, counter: int, value: int) -> None:
        """Sets a counter of our seat."""
        self._table._words_view[self._own + counter] = value

    def elsewhere(self, counter: int) -> int:
        """Sum of a counter over the other seats."""
        words = self._table._words_view
        first = self._counters + counter
        return int(sum(words[first : first + COUNTERS * self._table.seats : COUNTERS])) - int(
            words[self._own + counter]
        )

    def of_seat(self, counter: int, seat: int) -> int:
        return int(self._table._words_view[self._counters + COUNTERS * seat + counter])

    def level(self, number: int) -> tuple[float, float] | None:
        """A bucket's level and when it was filled; None: nobody has used it. Under `HostTable.lock`."""
        numbers = self._table._numbers_view
        level, filled = numbers[self._levels + 2 * number], numbers[self._levels + 2 * number + 1]
        return (level, filled) if filled else None

    def set_level(self, number: int, level: float, filled: float) -> None:
        numbers = self._table._numbers_view
        numbers[self._levels + 2 * number], numbers[self._levels + 2 * number + 1] = level, filled

    def lock(self) -> AbstractContextManager[None]:
        return self._table.lock()
