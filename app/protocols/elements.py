"""Number of things that a protobuf message is made of, before it is parsed: a byte or two can stand for an object."""

from __future__ import annotations

import time
from enum import Enum
from typing import Any

import numpy as np

from app.protocols.tfs_schema import PACKED

MOST_ELEMENTS = 2**21
"""Of one message: fields, and numbers that are packed. The parser makes as many objects of them in about 0.1 s."""
_AT_ONCE = 2048
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_RAW = frozenset(PACKED) - {"float_val", "double_val", "scomplex_val", "dcomplex_val"}
"""Numbers of variable length that the schema leaves as bytes; the others are read as they stand."""


class Packed(Enum):
    """Numbers of one field in one piece, by their size."""

    VARINTS = 0
    FOUR_BYTES = 4
    EIGHT_BYTES = 8


Fields = dict[int, Any]
"""By a field's number: the fields of its message, or `Packed`; others count as one."""


def fields_of(descriptor: Any) -> Fields:
    """The fields of a message type, which does not contain itself."""
    found: Fields = {}
    for field in descriptor.fields:
        if field.message_type is not None:
            found[field.number] = fields_of(field.message_type)
        elif field.type == field.TYPE_BYTES:
            if field.name in _RAW:
                found[field.number] = Packed.VARINTS
        elif field.is_repeated and field.type != field.TYPE_STRING:
            sizes = {field.TYPE_FLOAT: Packed.FOUR_BYTES, field.TYPE_DOUBLE: Packed.EIGHT_BYTES}
            found[field.number] = sizes.get(field.type, Packed.VARINTS)
    return found


def count_elements(message: bytes, fields: Fields, most: int) -> int:
    """How many there are, or a number above `most` as soon as there are more. What is no message is counted up to its
    fault."""
    counted, at, end, known = 0, 0, len(message), fields
    outer: list[tuple[int, int, Fields]] = []
    try:
        while True:
            if at >= end:
                if not outer:
                    return counted
                at, end, known = outer.pop()
                continue
            counted += 1
            if counted > most:
                return counted
            if not counted % _AT_ONCE:
                time.sleep(0)  # another thread may have its turn
            tag, at = _varint(message, at)
            kind = tag & 7
            if kind == _BYTES:
                size, at = _varint(message, at)
                of = known.get(tag >> 3)
                if isinstance(of, dict):
                    outer.append((at + size, end, known))
                    end, known = at + size, of
                else:
                    counted += _numbers(message, at, size, of)
                    at += size
            elif kind == _VARINT:
                _, at = _varint(message, at)
            else:
                at += {_EIGHT: 8, _FOUR: 4}.get(kind, 0)
    except IndexError:
        return counted


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends. Raises IndexError at the end of the message."""
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while byte >= 0x80 and shift < 70:
        at += 1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at + 1


def _numbers(message: bytes, at: int, size: int, of: Packed | None) -> int:
    """That are packed in a field, beyond its first."""
    if of is None or size <= 1:
        return 0
    if of is Packed.VARINTS:
        return int(np.count_nonzero(np.frombuffer(message, np.uint8)[at : at + size] < 0x80))
    return size // int(of.value)
