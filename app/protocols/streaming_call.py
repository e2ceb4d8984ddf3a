"""A call that has several messages or several answers: health checks that watch, and reflection. Needs no token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.protocols.grpc_wire import HEAD, PREFIX_BYTES, trailers, write_message
from app.protocols.rpc_methods import Answer, Status

_MOST_MESSAGE_BYTES = 16 * 1024
_MOST_UNSENT_BYTES = 256 * 1024
_OK = Answer(Status.OK)


class StreamingMethod(Protocol):
    """One call's side of a method."""

    def begin(self, call: StreamingCall) -> None: ...
    def message(self, message: bytes) -> None:
        """One message of the client."""

    def ended(self) -> None:
        """The client sends no more."""

    def gone(self) -> None:
        """The call has ended."""


class StreamingCall:
    """The stream under it.

    Args:
        send: takes the header block of the answer's head or None, DATA, and the header block of trailers or None.
        unsent: bytes of answers that the client has not taken.
        charge: called for each message of the client; may raise ConnectionFault.
    """

    def __init__(
        self,
        method: StreamingMethod,
        send: Callable[[bytes | None, bytes, bytes | None], None],
        unsent: Callable[[], int],
        charge: Callable[[], None],
    ) -> None:
        self._method = method
        self._send = send
        self._unsent = unsent
        self._charge = charge
        self._data = bytearray()
        self._begun = self._over = False

    def begin(self) -> None:
        self._method.begin(self)

    def take(self, data: bytes) -> None:
        """Some data of the client."""
        self._data += data
        while len(self._data) >= PREFIX_BYTES and not self._over:
            length = int.from_bytes(self._data[1:PREFIX_BYTES], "big")
            if self._data[0] or length > _MOST_MESSAGE_BYTES:
                self.end(Answer(Status.RESOURCE_EXHAUSTED, detail="The message is compressed or too large."))
                return
            if len(self._data) < PREFIX_BYTES + length:
                return
            self._charge()
            message = bytes(self._data[PREFIX_BYTES : PREFIX_BYTES + length])
            del self._data[: PREFIX_BYTES + length]
            self._method.message(message)

    def ended(self) -> None:
        if self._data and not self._over:
            self.end(Answer(Status.INVALID_ARGUMENT, detail="The call ended before its message was whole."))
        elif not self._over:
            self._method.ended()

    def gone(self) -> None:
        self._over = True
        self._method.gone()

    def answer(self, message: bytes) -> None:
        """One message to the client."""
        if self._over:
            return
        if self._unsent() > _MOST_UNSENT_BYTES:
            self.end(Answer(Status.RESOURCE_EXHAUSTED, detail="The answers are not read."))
            return
        head, self._begun = None if self._begun else HEAD, True
        self._send(head, write_message(message), None)

    def end(self, answer: Answer = _OK) -> None:
        if self._over:
            return
        self._over = True
        self._send(None if self._begun else HEAD, b"", trailers(answer))
