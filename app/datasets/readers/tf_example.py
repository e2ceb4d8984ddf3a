"""Decodes a serialized tf.train.Example (https://protobuf.dev/programming-guides/encoding), without TensorFlow.

Example  { Features features = 1 }       Features { map<string, Feature> feature = 1 }
Feature  { oneof: BytesList bytes_list = 1 · FloatList float_list = 2 · Int64List int64_list = 3 }
each list { repeated value = 1 }, numbers packed or one by one
"""

from __future__ import annotations

import struct
from typing import Any

KINDS = {1: "bytes", 2: "float", 3: "int64"}

Feature = tuple[str, list[Any]]
"""Kind ("bytes" "float" "int64") and values."""


class BadExample(Exception):
    """The bytes are no tf.train.Example; the text says what is wrong."""


def decode_example(data: bytes) -> dict[str, Feature | None]:
    """Name → values of each feature; None for a feature without a kind. Raises BadExample."""
    features: dict[str, Feature | None] = {}
    for number, wire, outer in _fields(data):
        if number == 2 and wire == 2:
            raise BadExample("it is a SequenceExample. Write tf.train.Example records")
        if number != 1 or wire != 2:
            continue
        for inner_number, inner_wire, entry in _fields(outer):
            if inner_number == 1 and inner_wire == 2:
                name, feature = _entry(entry)
                features[name] = feature  # the last one counts, as protobuf's maps say
    return features


def _entry(data: bytes) -> tuple[str, Feature | None]:
    name, feature = b"", None
    for number, wire, value in _fields(data):
        if number == 1 and wire == 2:
            name = value
        elif number == 2 and wire == 2:
            feature = _feature(value)
    try:
        return name.decode("utf-8"), feature
    except UnicodeDecodeError:
        raise BadExample("a feature's name is not UTF-8") from None


def _feature(data: bytes) -> Feature | None:
    feature: Feature | None = None
    for number, wire, value in _fields(data):
        if number in KINDS and wire == 2:
            kind = KINDS[number]
            values = _VALUES[kind](value)
            feature = (kind, feature[1] + values if feature and feature[0] == kind else values)
    return feature


def _bytes_values(data: bytes) -> list[bytes]:
    return [value for number, wire, value in _fields(data) if number == 1 and wire == 2]


def _float_values(data: bytes) -> list[float]:
    values: list[float] = []
    for number, wire, value in _fields(data):
        if number == 1 and wire in (2, 5):
            if len(value) % 4:
                raise BadExample("a list of floats is cut off")
            values += struct.unpack(f"<{len(value) // 4}f", value)
    return values


def _int64_values(data: bytes) -> list[int]:
    values: list[int] = []
    for number, wire, value in _fields(data):
        if number == 1 and wire == 2:
            if value.isascii():  # no byte has its high bit set: each is a number
                values += value
                continue
            position = 0
            while position < len(value):
                item, position = _varint(value, position)
                values.append(item)
        elif number == 1 and wire == 0:
            values.append(_varint(value, 0)[0])
    return [value - 2**64 if value >= 2**63 else value for value in values]


_VALUES: dict[str, Any] = {"bytes": _bytes_values, "float": _float_values, "int64": _int64_values}


def _fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """(field number, wire type, value) of all fields; a varint's value as its bytes."""
    fields = []
    position, end = 0, len(data)
    while position < end:
        tag = data[position]
        position += 1
        if tag > 127:  # numbers of one byte, the usual ones, are read in place
            tag, position = _varint(data, position - 1)
        wire = tag & 7
        if wire == 2 and position < end:
            size = data[position]
            position += 1
            if size > 127:
                size, position = _varint(data, position - 1)
        elif wire == 0:
            size = _varint(data, position)[1] - position
        elif wire == 5:
            size = 4
        elif wire == 1:
            size = 8
        else:
            raise BadExample(f"wire type {wire} at its byte {position}")
        if tag < 8 or size > end - position:
            raise BadExample(f"a field at its byte {position} is cut off")
        fields.append((tag >> 3, wire, data[position : position + size]))
        position += size
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position` (modulo 2**64) and the place behind it."""
    value = shift = 0
    for byte in data[position : position + 10]:
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
    raise BadExample(f"a number at its byte {position} is cut off")
