"""Identifiers made by the server: a prefix that names the kind, then 26 characters that sort by time of creation.

Identifiers of one process ascend strictly, also within a millisecond and when the clock is set back: lists that break
ties of their creation time by the identifier then have the order in which the rows were made.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_RANDOM_BITS, _STEP_BITS, _LENGTH = 80, 40, 26

ID_PATTERN = r"^[a-z]{2,5}_[0-9a-hjkmnp-tv-z]{26}$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
"""What people may call a model, a label or an evaluation: it is used in URLs, never in paths."""

_ID = re.compile(ID_PATTERN)


class AscendingNumbers:
    """Ascending numbers of 128 bits: the clock's milliseconds, then random bits. Safe to use from several threads.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """A number above all that this sequence gave before."""
        fresh = (int(self._clock() * 1000) << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
        with self._lock:
            # A random step, not 1: two processes that start from the same number must not meet.
            self._last = fresh if fresh > self._last else self._last + 1 + secrets.randbits(_STEP_BITS)
            return self._last

    def restart(self) -> None:
        """For a child process after a fork: it shares no number and no lock with its parent."""
        self._lock = threading.Lock()
        self._last = 0


_NUMBERS = AscendingNumbers()
os.register_at_fork(after_in_child=_NUMBERS.restart)


def new_id(prefix: str) -> str:
    """A new identifier, for example `job_01k9…`, above all identifiers of that prefix that this process made before;
    prefixes in use: job, ds, exp, ckpt, eval, tok, ver."""
    number = _NUMBERS.next()
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an identifier of that kind. Check before any use of a caller's id."""
    return text.startswith(prefix + "_") and _ID.fullmatch(text) is not None
