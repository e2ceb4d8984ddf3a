"""Frames of HTTP/2 (RFC 9113, 4 and 6): their numbers, and how they are written."""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">BHBBI")
"""Length (first byte, then two), kind, flags, stream."""
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

DEFAULT_WINDOW = 65_535
MOST_WINDOW = 2**31 - 1
DEFAULT_MAX_FRAME, MOST_MAX_FRAME = 2**14, 2**24 - 1
DEFAULT_TABLE = 4096

SETTINGS_TABLE, SETTINGS_PUSH, SETTINGS_STREAMS, SETTINGS_WINDOW, SETTINGS_FRAME, SETTINGS_HEADER_LIST = range(1, 7)
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")


class ErrorCode(IntEnum):
    """RFC 9113, 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """The connection cannot go on: it ends with a GOAWAY of this code."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def settings_frame(settings: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*setting) for setting in settings.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """In their order; the length is one of whole settings."""
    return list(_SETTING.iter_unpack(payload))


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _NUMBER.pack(size))


def rst_stream(stream: int, code: ErrorCode) -> bytes:
    return frame(RST_STREAM, 0, stream, _NUMBER.pack(code))


def goaway(last_stream: int, code: ErrorCode, why: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, _NUMBER.pack(last_stream) + _NUMBER.pack(code) + why.encode())


def read_number(payload: bytes) -> int:
    """The number of a WINDOW_UPDATE or RST_STREAM, without the reserved bit."""
    return int(_NUMBER.unpack(payload)[0]) & 0x7FFFFFFF
