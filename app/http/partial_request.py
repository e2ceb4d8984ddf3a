"""Prediction whose head is known and whose body is still on its way: most clients send the two apart."""

from __future__ import annotations

from app.errors import Overloaded
from app.http.read_body import BytesInFlight


class PartialRequest:
    """What came of a request, until its body is whole. Holds nothing before `begin`.

    Args:
        came, missing: bytes of its body.
        in_flight: counts those that came in the account of the request's token.

    Raises:
        Overloaded: the token has too many bytes in flight.
    """

    __slots__ = ("_came", "_data", "_in_flight", "_missing")

    def __init__(self, came: int, missing: int, in_flight: BytesInFlight) -> None:
        self._data = bytearray()
        self._came = came
        self._missing = missing
        self._in_flight = in_flight
        if came:
            in_flight.count(came)

    def begin(self, data: bytes) -> None:
        """Takes what came first, from the head on."""
        self._data += data

    def add(self, data: bytes) -> bytes | None:
        """Takes the next bytes. All bytes, once the body is whole or no more of it may be kept; None before."""
        self._data += data
        self._came += len(data)
        self._missing -= len(data)
        if self._missing > 0:
            try:
                self._in_flight.count(self._came)
            except Overloaded:
                return self.end()
            return None
        return self.end()

    def end(self) -> bytes:
        """Waits no more. All bytes that came."""
        self._in_flight.release()
        return bytes(self._data)
