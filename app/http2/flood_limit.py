"""A bound on frames that cost a server work and a client nothing: pings, settings, resets, empty frames (CVE-2019-9511
to 9518, CVE-2023-44487)."""

from __future__ import annotations

import time

from app.http2.http2_frames import ConnectionFault, ErrorCode

_BURST = 2000.0
_PER_S = 200.0


class FloodLimit:
    """Points that one connection has left. Each such frame takes some; time and answered requests bring them back."""

    __slots__ = ("_filled", "_left")

    def __init__(self) -> None:
        self._left = _BURST
        self._filled = time.monotonic()

    def take(self, points: int = 1) -> None:
        """Raises ConnectionFault when they are used up."""
        self._left -= points
        if self._left >= 0:
            return
        now = time.monotonic()
        self._left = min(_BURST, self._left + (now - self._filled) * _PER_S)
        self._filled = now
        if self._left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "There are too many frames that ask for nothing.")

    def give(self, points: int) -> None:
        """A request was answered."""
        if self._left < _BURST:
            self._left += points
