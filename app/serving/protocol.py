"""Messages between the API and a predictor process, and their form on the wire.

A frame is a 4-byte little-endian length and that many bytes of MessagePack: one of the structs below as an array whose
first element is its tag. Decoding is typed, so that a frame of another form raises `BadFrame` and nothing else.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

MAX_FRAME_BYTES = 2**29
_READ_BYTES = 2**13
_LENGTH = struct.Struct("<I")

Column = bytes | list[Any]
"""One input of a batch, row after row: a number column's raw little-endian bytes, or a list of `str` and `bytes`."""


NO_INSTANCE = -1


class BadFrame(Exception):
    """Bytes that are no frame of ours."""


class Form(IntEnum):
    """Form in which a request wants its answer."""

    ROW = 0
    COLUMN = 1
    CLASSIFY = 2
    REGRESS = 3
    TENSORS = 4


class Load(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Load the SavedModel at `path`, check that its digest is `digest` first, warm it up, call it `key`.

    `low_priority`: with little of the processor while others want it.
    """

    id: int
    key: int
    path: str
    digest: str
    low_priority: bool = False


class Unload(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Forget `key` and give its memory back."""

    id: int
    key: int


class RunBatch(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """Run one signature over the rows of one or more requests.

    Attributes:
        counts: rows of each request; their sum is the number of rows.
        forms: the form in which each request wants its answer (`Form`).
        alone: no other batch runs or waits.
        columns: as `app.serving.packing.RowPacker` lays them out.
        call_rows: rows of one TensorFlow call, where that is to be fewer than the predictor's own; 0: it is not.
    """

    id: int
    key: int
    signature: str
    counts: list[int]
    forms: list[int]
    columns: list[Column]
    alone: bool = False
    call_rows: int = 0


class UseOnnx(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """Answer for `key` by ONNX Runtime where a signature was converted in `directory`; empty: by TensorFlow."""

    id: int
    key: int
    directory: str


class LoadedVersion(msgspec.Struct, array_like=True, frozen=True):
    """A version that a predictor has, as it was loaded; `onnx` is the last `UseOnnx.directory`."""

    key: int
    path: str
    digest: str
    cell_bytes: int
    onnx: str = ""


class PredictorReady(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """First word of a predictor on a connection: TensorFlow is imported.

    Attributes:
        loaded: what it has from a connection that ended before.
    """

    tensorflow: str
    loaded: list[LoadedVersion] = []


class LoadResult(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """A load, an unload or a change of what computes is through.

    Attributes:
        error: why not, for a person; None when it is.
        cell_bytes: memory that one step of one padded sequence takes in a call, about; 0 without sequences.
    """

    id: int
    error: str | None
    seconds: float
    model_bytes: int
    cell_bytes: int = 0


class BatchResult(msgspec.Struct, array_like=True, tag=6, frozen=True):
    """The answers in the order of the run's requests.

    Attributes:
        bodies: where the model could not compute a request, the number of the instance at fault stands instead, or
            `NO_INSTANCE` when no single one is.
        run_us: time of the TensorFlow call, microseconds.
    """

    id: int
    bodies: list[bytes | int]
    run_us: int


Change = Load | Unload | UseOnnx
Request = Change | RunBatch
Reply = PredictorReady | LoadResult | BatchResult
_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def frame(message: msgspec.Struct) -> bytes:
    """The bytes of one message, length first. Raises BadFrame when it is longer than `MAX_FRAME_BYTES`."""
    buffer = bytearray(4)
    _encoder.encode_into(message, buffer, 4)
    size = len(buffer) - 4
    if size > MAX_FRAME_BYTES:
        raise BadFrame(f"A frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}.")
    _LENGTH.pack_into(buffer, 0, size)
    return bytes(buffer)


def frame_length(prefix: bytes) -> int:
    """Length of the payload that follows. Raises BadFrame over the limit, before anything is allocated."""
    size: int = _LENGTH.unpack(prefix)[0]
    if size > MAX_FRAME_BYTES:
        raise BadFrame(f"A frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}.")
    return size


def decode_request(payload: bytes) -> Request:
    """Raises BadFrame."""
    return _decode(_requests, payload)


def decode_reply(payload: bytes) -> Reply:
    """Raises BadFrame."""
    return _decode(_replies, payload)


def _decode(decoder: msgspec.msgpack.Decoder[T], payload: bytes) -> T:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame("The payload is no message of this protocol.") from error


class FrameSource:
    """Payloads from a socket, one after the other.

    Args:
        connection: blocking; nobody else reads from it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""  # came with the frame before

    def next(self) -> bytes:
        """Waits for a payload.

        Raises:
            BadFrame: its length is over the limit.
            EOFError, OSError: the other end is gone.
        """
        data = self._rest or self._connection.recv(_READ_BYTES)
        if len(data) < 4:
            data += self._exactly(4 - len(data))
        end = 4 + frame_length(data[:4])
        if len(data) < end:
            self._rest = b""
            return data[4:] + self._exactly(end - len(data))
        self._rest = data[end:]
        return data[4:end]

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = self._connection.recv(size, socket.MSG_WAITALL)
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


class FrameReader:
    """Cuts a byte stream into payloads. Feed it what arrives; it keeps what is not complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Payloads that are complete now. Raises BadFrame for a length over the limit."""
        if not self._buffer and len(data) >= 4 and frame_length(data[:4]) == len(data) - 4:
            return (data[4:],)  # the usual case: one whole frame, no copy into the buffer
        self._buffer += data
        return self._complete()

    def _complete(self) -> Iterator[bytes]:
        while len(self._buffer) >= 4:
            end = 4 + frame_length(bytes(self._buffer[:4]))
            if len(self._buffer) < end:
                return
            payload = bytes(memoryview(self._buffer)[4:end])
            del self._buffer[:end]
            yield payload
