"""Protobuf's integers of variable length, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_VARINT = 10
_SHIFTS = 7 * np.arange(LONGEST_VARINT, dtype=np.uint64)


def encode_varints(array: NDArray[Any]) -> bytes:
    """Integers or booleans, one after another; negative ones as protobuf writes int32 and int64."""
    bits = array.ravel().astype(np.int64 if array.dtype.kind != "u" else np.uint64).view(np.uint64)
    if bits.max(initial=0) < 0x80:
        return bits.astype(np.uint8).tobytes()
    groups = (bits[:, None] >> _SHIFTS).astype(np.uint8) & 0x7F
    sizes = LONGEST_VARINT - (groups[:, ::-1] != 0).argmax(axis=1)
    sizes[bits == 0] = 1
    place = np.arange(LONGEST_VARINT)
    groups[place < sizes[:, None] - 1] |= 0x80
    return bytes(groups[place < sizes[:, None]].tobytes())


def decode_varints(data: bytes) -> NDArray[np.uint64]:
    """The integers' 64 bits. Raises ValueError for bytes that are none."""
    found = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(found < 0x80)
    if len(ends) == len(found):
        return found.astype(np.uint64)
    if not len(ends) or ends[-1] != len(found) - 1:
        raise ValueError("The last integer has no end.")
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > LONGEST_VARINT:
        raise ValueError("An integer is too long.")
    values = np.zeros(len(ends), np.uint64)
    for i in range(int(sizes.max())):
        more = sizes > i
        values[more] |= (found[starts[more] + i] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * i)
    return values
