"""Limits that the connections of the gRPC port share, and what is in use of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.http.connections import ConnectionTable
from app.http2.send_queue import UnsentBytes
from app.protocols.rpc_methods import Methods
from app.protocols.streaming_call import StreamingMethod

_MOST_CALLS = 4096
_HELD_MESSAGES = 8
_MOST_UNSENT_BYTES = 256 * 2**20


class PortState:
    """Limits of the whole port, and what is in use.

    Args:
        methods: calls of one message and one answer; streaming: of several, by path.
        max_message_bytes: of a request.

    Attributes:
        calls: that are open.
        held: bytes of messages that are not whole, those that are still to come counted too.
        unsent: bytes of answers that clients gave no window for.
        draining: no new calls are wanted.
    """

    def __init__(
        self,
        table: ConnectionTable,
        methods: Methods,
        streaming: Mapping[str, Callable[[], StreamingMethod]],
        *,
        max_message_bytes: int,
    ) -> None:
        self.table = table
        self.methods = methods
        self.streaming = streaming
        self.max_message_bytes = max_message_bytes
        self.most_held = _HELD_MESSAGES * max_message_bytes
        self.calls = 0
        self.held = 0
        self.unsent = UnsentBytes()
        self.draining = False

    @property
    def is_full(self) -> bool:
        return self.calls >= _MOST_CALLS or self.unsent.bytes > _MOST_UNSENT_BYTES
