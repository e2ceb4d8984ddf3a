"""Cuts what a client sends into frames, checks their form (RFC 9113, 4 to 6), and hands on what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.http2.header_blocks import MAX_BLOCK_BYTES
from app.http2.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEAD,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFault,
    ErrorCode,
    read_number,
)

if TYPE_CHECKING:
    from app.http2.server_connection import ServerConnection

MAX_FRAME = 2**16
"""As it is announced to clients."""
TURN = 8192
"""What one connection may make us do in one turn of the event loop, before others have theirs: a frame counts as eight,
a byte of a header block that has to be decoded as four."""
_FRAME, _BLOCK, _BLOCK_BYTE = 8, 256, 4
_MOST_CONTINUATIONS = 16
_SIZES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_OF_STREAMS = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION})
_OF_CONNECTION = frozenset({SETTINGS, PING, GOAWAY})
_STREAM_BITS = 0x7FFFFFFF


class Http2Reader:
    """The client's bytes, as they come. It holds one frame that is not whole at most, and one header block."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._held = bytearray()
        self._needed = len(PREFACE)
        self._begun = False
        self.settled = False
        """Preface and first settings came."""
        self._block = bytearray()
        self._block_stream = 0
        self._block_ends_stream = False
        self._continuations = 0
        self._turn = TURN

    @property
    def has_more(self) -> bool:
        """This turn's share is used up, and frames may be left."""
        return self._turn <= 0 and bool(self._held)

    @property
    def waits(self) -> bool:
        """A frame or a header block has begun and is not whole."""
        return not self.settled or bool(self._held) or bool(self._block_stream)

    def hold(self, data: bytes) -> None:
        """Takes bytes that are to be read in a later turn."""
        self._held += data

    def decoded(self, size: int) -> None:
        """A header block of so many bytes was not known, and had to be decoded."""
        self._turn -= _BLOCK + _BLOCK_BYTE * size

    def feed(self, data: bytes) -> None:
        """Reads what one turn of the event loop brought, or as much of it as may be done in one. Raises
        ConnectionFault."""
        self._turn = TURN
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return  # without another look at what is there: a frame may come byte by byte
            data = bytes(self._held)
            self._held.clear()
        position = 0
        if not self._begun:
            position = self._preface(data)
        position = self._frames(data, position)
        if position < len(data):
            self._held += data[position:]

    def _preface(self, data: bytes) -> int:
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "This is no HTTP/2 with prior knowledge.")
        if len(data) < len(PREFACE):
            return 0
        self._begun = True
        return len(PREFACE)

    def _frames(self, data: bytes, position: int) -> int:
        """Reads whole frames; where the first one begins that is not."""
        if not self._begun:
            self._needed = len(PREFACE)
            return position
        size = len(data)
        connection = self._connection
        while size - position >= 9 and self._turn > 0 and not connection.closed:
            self._turn -= _FRAME
            high, low, kind, flags, stream = HEAD.unpack_from(data, position)
            length = high << 16 | low
            if length > MAX_FRAME:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "A frame is too large.")
            end = position + 9 + length
            if end > size:
                self._needed = 9 + length
                return position
            self._frame(kind, flags, stream & _STREAM_BITS, data[position + 9 : end])
            position = end
        self._needed = 9
        return size if connection.closed else position

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block_stream and (kind != CONTINUATION or stream != self._block_stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "A header block is cut by another frame.")
        if not self.settled:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "The first frame has to be SETTINGS.")
            self.settled = True
        if (kind in _OF_STREAMS and not stream) or (kind in _OF_CONNECTION and stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "A frame is of the wrong stream.")
        if kind == DATA:
            padding, payload = _unpadded(flags, payload)
            self._connection.data(stream, flags, payload, padding)
        elif kind == HEADERS:
            self._headers(flags, stream, payload)
        elif kind == CONTINUATION:
            self._continuation(flags, stream, payload)
        else:
            self._control(kind, flags, stream, payload)

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        if not stream % 2:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "A client's streams have odd numbers.")
        _, payload = _unpadded(flags, payload)
        if flags & HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS has no room for its priority.")
            payload = payload[5:]
        ends = flags & END_STREAM != 0
        if flags & END_HEADERS:
            if len(payload) > MAX_BLOCK_BYTES:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "A header block is too large.")
            self._connection.block(stream, ends, payload)
            return
        self._block_stream, self._block_ends_stream = stream, ends
        self._continuations = 0
        self._add_to_block(flags, payload)

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if not self._block_stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION continues nothing.")
        self._continuations += 1
        if self._continuations > _MOST_CONTINUATIONS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "A header block is in too many frames.")
        self._add_to_block(flags, payload)

    def _add_to_block(self, flags: int, payload: bytes) -> None:
        self._block += payload
        if len(self._block) > MAX_BLOCK_BYTES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "A header block is too large.")
        if not flags & END_HEADERS:
            return
        block, stream = bytes(self._block), self._block_stream
        self._block.clear()
        self._block_stream = 0
        self._connection.block(stream, self._block_ends_stream, block)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        connection = self._connection
        wanted = _SIZES.get(kind)
        if wanted is not None and len(payload) != wanted:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "A frame has the wrong length.")
        if kind == SETTINGS:
            if len(payload) % 6 or (flags & ACK and payload):
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS has the wrong length.")
            if flags & ACK:
                connection.flood.take()
            else:
                connection.settings(payload)
        elif kind == PING:
            connection.ping(flags, payload)
        elif kind == RST_STREAM:
            connection.stream_reset(stream)
        elif kind == WINDOW_UPDATE:
            connection.window_grows(stream, read_number(payload))
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "A client promises nothing.")
        else:
            connection.flood.take()  # PRIORITY, GOAWAY, and kinds that are not known


def _unpadded(flags: int, payload: bytes) -> tuple[int, bytes]:
    """Bytes of padding with their length, and what is left."""
    if not flags & PADDED:
        return 0, payload
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "A padded frame has no padding's length.")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "The padding is longer than its frame.")
    return padding + 1, payload[1 : len(payload) - padding]
