"""Messages of the Open Inference Protocol's `ModelInfer`, written and read without protobuf's library.

    ModelInferRequest             ModelInferResponse
    1 model_name                  1 model_name
    2 model_version               2 model_version
    5 inputs                      5 outputs
    7 raw_input_contents          6 raw_output_contents

Inputs and outputs are messages of `1 name`, `2 datatype` and `3 shape`; the values of each stand in the raw contents at
the same place: little-endian numbers, or strings after their length of 4 bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from estimator_client.errors import ApiError, ClientError, Json, Unreachable
from estimator_client.retry import seconds_of

_DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_LENGTH = struct.Struct("<I")
_VARINT, _FIXED_64, _PIECE, _FIXED_32 = 0, 1, 2, 5
#: gRPC's status → HTTP's that a prediction in JSON has; the others are 500
_STATUS = {
    "INVALID_ARGUMENT": 422,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "FAILED_PRECONDITION": 409,
    "UNAUTHENTICATED": 401,
    "UNIMPLEMENTED": 501,
    "DEADLINE_EXCEEDED": 504,
}


class Refusal(NamedTuple):
    """A call that was not answered with a prediction.

    Attributes:
        status: HTTP's status for it; None: nobody answered.
        retry_after: the trailing metadata of that name.
    """

    status: int | None
    title: str
    detail: str
    retry_after: str | None

    @classmethod
    def of(cls, error: Any) -> Refusal:
        """Of a `grpc.RpcError`. The service sends `retry-after` where it is worth trying again."""
        name = error.code().name
        retry_after = dict(error.trailing_metadata() or ()).get("retry-after")
        status: int | None = _STATUS.get(name, 500)
        if name == "UNAVAILABLE":
            status = None if retry_after is None else 503
        elif name == "RESOURCE_EXHAUSTED":  # too many requests, or a message that is too large
            status = 413 if retry_after is None else 429
        return cls(status, name, error.details() or name, retry_after)

    def exception(self, place: str) -> ClientError:
        if self.status is None:
            return Unreachable(f"Could not connect to {place}: {self.detail}")
        return ApiError(self.status, {"title": self.title, "detail": self.detail}, seconds_of(self.retry_after))


def encode_request(model: str, version: str, inputs: Json) -> bytes:
    """A request for all outputs of `serving_default`.

    Args:
        inputs: arrays by name; those of objects hold bytes.

    Raises ValueError for an array of a dtype that the protocol does not know.
    """
    parts = [_piece(1, model.encode()), _piece(2, version.encode())]
    raw = []
    for name, array in inputs.items():
        datatype, values = _raw(name, array)
        shape = b"".join(_varint(size) for size in array.shape)
        parts.append(_piece(5, _piece(1, name.encode()) + _piece(2, datatype.encode()) + _piece(3, shape)))
        raw.append(_piece(7, values))
    return b"".join(parts + raw)


def decode_outputs(message: bytes) -> Json:
    """Arrays by name; strings are objects, `str` where they are UTF-8, else bytes."""
    described = []
    raw = []
    for number, value in _fields(message):
        if number == 5:
            described.append(_described(value))
        elif number == 6:
            raw.append(value)
    return {
        name: _array(datatype, shape, values) for (name, datatype, shape), values in zip(described, raw, strict=True)
    }


def _raw(name: str, array: Any) -> tuple[str, bytes]:
    if array.dtype.kind == "O":
        return "BYTES", b"".join(_LENGTH.pack(len(value)) + value for value in array.ravel().tolist())
    for datatype, dtype in _DTYPES.items():
        if array.dtype == dtype or array.dtype.newbyteorder("<") == dtype:
            return datatype, array.astype(dtype, copy=False).tobytes()
    raise ValueError(f"The column {name} is of {array.dtype}, which gRPC's protocol does not know.")


def _array(datatype: str, shape: tuple[int, ...], values: bytes) -> Any:
    import numpy as np

    if datatype == "BYTES":
        strings = np.empty(math.prod(shape), object)
        strings[:] = list(_strings(values))
        return strings.reshape(shape)
    if datatype == "BF16":  # the upper half of a float32
        bits = np.frombuffer(values, "<u2").astype(np.uint32) << np.uint32(16)
        return bits.view(np.float32).reshape(shape)
    return np.frombuffer(values, _DTYPES[datatype]).reshape(shape)


def _strings(values: bytes) -> Iterator[str | bytes]:
    at = 0
    while at < len(values):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(values, at)[0]
        try:
            yield values[start:at].decode()
        except UnicodeDecodeError:
            yield values[start:at]


def _described(message: bytes) -> tuple[str, str, tuple[int, ...]]:
    name = datatype = ""
    shape: list[int] = []
    for number, value in _fields(message):
        if number == 1:
            name = value.decode()
        elif number == 2:
            datatype = value.decode()
        elif number == 3 and isinstance(value, bytes):
            at = 0
            while at < len(value):
                size, at = _integer(value, at)
                shape.append(size)
        elif number == 3:
            shape.append(value)
    return name, datatype, tuple(shape)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: bytes, or an integer. Raises ValueError for what is no message."""
    at = 0
    while at < len(message):
        tag, at = _integer(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value: Any
            value, at = _integer(message, at)
        elif kind in (_FIXED_64, _PIECE, _FIXED_32):
            size = {_FIXED_64: 8, _FIXED_32: 4}.get(kind)
            if size is None:
                size, at = _integer(message, at)
            value = message[at : at + size]
            at += size
        else:
            raise ValueError("The answer is no message of the Open Inference Protocol.")
        yield tag >> 3, value


def _integer(message: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and the place after it."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | message[at] << shift, at + 1


def _piece(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _PIECE) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
