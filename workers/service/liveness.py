"""Signs of life of the service's parts. A supervisor ends a part that shows none for too long: it hangs.

Nothing here waits: the supervisor looks at all parts in one thread, since it forks.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from app.process import PULSE_FD

_EVERY_S = 1.0
_ANSWER_WITHIN_S = 5.0


class SignOfLife(Protocol):
    """How a part shows that it lives."""

    def begin(self) -> tuple[dict[str, str], tuple[int, ...]]:
        """Before the part is started (again): environment variables and open files that it is given."""

    def seen(self) -> bool:
        """Whether it has shown life since the last call."""


class Pulse:
    """The part writes a byte every second into a pipe that it inherits, see `app.process.pulse`."""

    def __init__(self) -> None:
        self._pipe: tuple[int, int] | None = None

    def begin(self) -> tuple[dict[str, str], tuple[int, ...]]:
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
        self._pipe = read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        return {PULSE_FD: str(write)}, (write,)

    def seen(self) -> bool:
        alive = False
        if self._pipe is not None:
            with suppress(BlockingIOError):
                while os.read(self._pipe[0], 4096):
                    alive = True
        return alive


class ReplyProbe:
    """The part answers on a socket: anything, or closes a connection that it took. A connection that is taken by the
    kernel alone says nothing.

    Args:
        address: host and port, or the path of a unix socket.
        request: what is asked.
    """

    def __init__(
        self, address: tuple[str, int] | str, request: bytes, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address, self._request, self._clock = address, request, clock
        self._socket: socket.socket | None = None
        self._sent = False
        self._next = self._until = 0.0

    def begin(self) -> tuple[dict[str, str], tuple[int, ...]]:
        self._close()
        return {}, ()

    def seen(self) -> bool:
        if self._socket is None:
            if self._clock() >= self._next:
                self._connect()
            return False
        if self._clock() > self._until:
            self._close()
            return False
        try:
            return self._exchange(self._socket)
        except OSError:  # not listening (yet), or reset: the latter only if the request had gone
            was_reset = self._sent
            self._close()
            return was_reset

    def _connect(self) -> None:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        if family != socket.AF_UNIX and ":" in self._address[0]:
            family = socket.AF_INET6
        self._socket, self._sent = socket.socket(family, socket.SOCK_STREAM), False
        self._socket.setblocking(False)
        self._until = self._clock() + _ANSWER_WITHIN_S
        try:
            self._socket.connect(self._address)
        except BlockingIOError:
            pass
        except OSError:
            self._close()

    def _exchange(self, connection: socket.socket) -> bool:
        readable, writable, _ = select.select([connection], [] if self._sent else [connection], [], 0)
        if writable:
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            connection.send(self._request)
            self._sent = True
        elif readable:
            with suppress(BlockingIOError):
                connection.recv(4096)
                self._close()
                return True
        return False

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._next = self._clock() + _EVERY_S
