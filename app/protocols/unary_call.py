"""A call of one message and one answer, while its message comes: what it may hold is asked for before it is held."""

from __future__ import annotations

import asyncio
import math
import time

from app.errors import InvalidInput, Overloaded, Unavailable
from app.http.auth import TokenInfo
from app.http.rate_limit import Account
from app.protocols.grpc_wire import PREFIX_BYTES, CallHead
from app.protocols.port_state import PortState
from app.protocols.rpc_methods import Method

_SMALL_MESSAGE_BYTES = 16 * 1024
"""Of a call that does not predict."""
_ONE_MESSAGE = "The call has to bring one whole message, and no more."
_SLOWEST_BYTES_PER_S = 32 * 1024
"""A message gets the time limit of a head, and one more second for each so many bytes that came."""


class UnaryCall:
    """From its headers to its answer.

    Attributes:
        token: whose call it is; None while that is asked.
        deadline: of the caller, on `time.perf_counter`.
        whole: all of the message came; answered: its answer waits for the client's window, or went out.
        compressed: as `head.encoding` says.
        unconsumed: bytes that came and that the connection's window was not given back for.
        admission, task: what asks for the token, and what answers.
    """

    __slots__ = ("_account", "_counted", "_data", "_length", "_port", "_reserved", "admission", "answered",
                 "compressed", "deadline", "head",
                 "method", "started", "task", "token", "unconsumed", "whole")  # fmt: skip

    def __init__(self, port: PortState, head: CallHead, method: Method, token: TokenInfo | None) -> None:
        self._port = port
        self.head, self.method, self.token = head, method, token
        self.started = time.perf_counter()
        self.deadline = math.inf if head.timeout_s is None else self.started + head.timeout_s
        self.whole = self.compressed = self.answered = False
        self.unconsumed = 0
        self.admission: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self._data: bytes | bytearray = b""
        self._length: int | None = None
        self._counted = 0
        self._account: Account | None = None
        self._reserved = 0
        port.calls += 1

    @property
    def missing(self) -> int:
        """Bytes that have to come; 0 while that is not known."""
        return 0 if self._length is None else PREFIX_BYTES + self._length - len(self._data)

    def add(self, data: bytes, *, last: bool) -> None:
        """Takes what came. Raises Overloaded, Unavailable, InvalidInput."""
        if not self._data:
            self._data = data
        else:
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += data
        if not last:
            self._count(len(self._data))
        if self._length is None and len(self._data) >= PREFIX_BYTES:
            self._length = length = int.from_bytes(self._data[1:PREFIX_BYTES], "big")
            most = self._port.max_message_bytes if self.method.scope == "predict" else _SMALL_MESSAGE_BYTES
            if length > most:
                raise Overloaded(f"The message has {length} bytes; the most is {most}. Send it in parts.")
        if self.missing < 0:
            raise InvalidInput(_ONE_MESSAGE)

    def reserve(self) -> None:
        """Room for the whole message, once it is known whose it is. Raises Overloaded, Unavailable."""
        size = len(self._data) + self.missing
        if self.token is None or self._account is not None:
            return
        account = self._port.methods.account(self.token)
        self._port.methods.check_bytes(account, size)
        account.bytes += size
        self._account, self._reserved = account, size
        self._count(size)

    def message(self) -> bytes:
        """All of it, as it came. Raises InvalidInput: it is cut, or there is more than one."""
        if self._length is None or self.missing:
            raise InvalidInput(_ONE_MESSAGE)
        self.whole = True
        self.compressed = self._data[0] != 0
        found = bytes(memoryview(self._data)[PREFIX_BYTES:])
        self._data = b""
        return found

    def is_late(self, now: float, head_s: float) -> bool:
        """Its message takes too long."""
        return not self.whole and now - self.started > head_s + len(self._data) / _SLOWEST_BYTES_PER_S

    def release(self) -> None:
        """What was reserved for the message: the batcher counts it from now on, or nobody wants it."""
        self._port.held -= self._counted
        self._counted = 0
        if self._account is not None:
            self._account.bytes -= self._reserved
            self._account, self._reserved = None, 0

    def end(self) -> None:
        """Answered, or given up."""
        self.release()
        self._data = b""
        self._port.calls -= 1
        for task in (self.task, self.admission):
            if task is not None:
                task.cancel()

    def _count(self, size: int) -> None:
        more = size - self._counted
        if more > 0:
            if self._port.held + more > self._port.most_held:
                raise Unavailable("There is no memory for the message now. Try again.", retry_after_s=1.0)
            self._port.held += more
            self._counted = size
