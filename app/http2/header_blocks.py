"""Header blocks (RFC 7541): decoded by the `hpack` library, and each kind of block once.

A client sends the same block for each of its calls: references to entries that its first one put into the table, or
literals. As long as the table does not change, equal bytes mean equal headers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from app.http2.http2_frames import ConnectionFault, ErrorCode

T = TypeVar("T")

MAX_HEADER_LIST_BYTES = 32 * 1024
"""Of all names and values, 32 bytes more for each: what a client can make of a small block is bounded."""
MAX_BLOCK_BYTES = 32 * 1024
MAX_HEADERS = 100
"""A byte can stand for one, and each costs work."""
_MOST_KNOWN, _LONGEST_KNOWN = 64, 2048


class MalformedRequest(Exception):
    """Headers that are no request's (RFC 9113, 8.1.1)."""


class _WatchedTable(HeaderTable):
    """A table that counts its changes."""

    changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        return self._maxsize

    @maxsize.setter
    def maxsize(self, size: int) -> None:
        self.changes += 1
        HeaderTable.maxsize.fset(self, size)  # type: ignore[attr-defined]


class HeaderBlocks(Generic[T]):
    """The header blocks of one connection, in their order.

    Args:
        make: what is wanted of a request's headers; may raise MalformedRequest. It is not called again for equal bytes.
        decoded: told the size of each block that is not known.
    """

    def __init__(
        self, make: Callable[[Sequence[tuple[bytes, bytes]]], T], decoded: Callable[[int], None] = lambda size: None
    ) -> None:
        self._make = make
        self._decoded = decoded
        self._decoder = Decoder(MAX_HEADER_LIST_BYTES)
        self._table = _WatchedTable()
        self._decoder.header_table = self._table
        self._known: dict[bytes, T] = {}

    def read(self, block: bytes) -> T:
        """What a whole block says.

        Raises:
            ConnectionFault: it cannot be decoded, so that nothing after it could be.
            MalformedRequest: it is whole, but no request's.
        """
        found = self._known.get(block)
        if found is not None:
            return found
        changes = self._table.changes
        self._decoded(len(block))
        try:
            headers = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "The headers are too large.") from None
        except (HPACKError, IndexError, ValueError):
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "A header block cannot be decoded.") from None
        if len(headers) > MAX_HEADERS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "There are too many headers.")
        same = changes == self._table.changes
        if not same:
            self._known.clear()
        made = self._make(headers)
        if same and len(block) <= _LONGEST_KNOWN:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[block] = made
        return made


def encode_literals(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Headers as literals that enter no table, so that their bytes are good on every connection."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)


def _text(value: bytes) -> bytes:
    size = len(value)
    if size < 127:
        return bytes((size,)) + value
    size -= 127
    length = bytearray((127,))
    while size >= 128:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes(length) + value


STATUS_200 = b"\x88"
"""`:status: 200`, of the static table."""
EMPTY_TABLE = b"\x20"
"""Says that the encoder's table has no room: for a peer that wants a smaller one than the default."""
