"""Seeds that Keras draws for itself: of initial values and of dropout.

Keras has no seed of a graph: what has none of its own takes a number from Python's generator, which all threads share.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

_lock = threading.Lock()
_inside = 0
_before: Any = None


@contextlib.contextmanager
def drawn_from(seed: int | None) -> Iterator[None]:
    """Lets Python's generator start from `seed` meanwhile; None leaves it alone.

    Afterwards it goes on as if nothing had been drawn, once the last of several that overlap is over: the state that
    one of them found may be what another has set.
    """
    global _inside, _before
    if seed is None:
        yield
        return
    with _lock:
        if not _inside:
            _before = random.getstate()
        _inside += 1
        random.seed(int(seed))  # it may be one of NumPy
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                random.setstate(_before)
