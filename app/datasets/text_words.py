"""Short texts, many at once, as words of eight bytes: their CRC-32, and hashes that tell whether two may be equal.

A CRC is linear: that of a text is the exclusive or of what each of its bytes adds, which depends on the byte and on
how many come behind it. So one table for each two bytes, counted from the end, gives all texts' CRCs in a few looks,
without an object for each text.
"""

from __future__ import annotations

import functools
import zlib
from typing import Any

import numpy as np

from app.datasets.readers.unaligned import numbers_at

LONGEST = 64
"""Bytes; with longer texts the tables would be too large for a processor's cache."""

_Ints = np.ndarray[Any, np.dtype[np.int64]]
_Words = np.ndarray[Any, np.dtype[np.uint64]]
#: Of a word of which the last 0 to 8 bytes belong to a text.
_MASKS = np.array([(0xFFFFFFFFFFFFFFFF << (64 - 8 * used)) & 0xFFFFFFFFFFFFFFFF for used in range(9)], np.uint64)
_ODD = np.uint64(0xD6E8FEB86659FD93)


def text_words(offsets: _Ints, data: np.ndarray[Any, np.dtype[np.uint8]]) -> list[_Words] | None:
    """Each text's last eight bytes, the eight before those, and so on, with zeros before its beginning; None when one
    is longer than `LONGEST`.

    Args:
        offsets: int64 [n + 1], where each text starts and ends in `data`; from 0.
        data: their bytes.
    """
    lengths = np.diff(offsets)
    if not len(lengths) or (longest := int(lengths.max())) > LONGEST:
        return None
    shortest = int(lengths.min())
    padded = np.concatenate([np.zeros(LONGEST, np.uint8), data])
    ends = offsets[1:] + (LONGEST - 8)
    words = []
    for place in range(0, longest, 8):
        word = numbers_at(padded, ends - place, "<u8")
        if shortest < place + 8:
            word &= _MASKS.take(np.clip(lengths - place, 0, 8))
        words.append(word)
    return words


def crc32s(words: list[_Words], lengths: _Ints) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """`zlib.crc32` of each text.

    Args:
        words: see `text_words`.
        lengths: of the texts.
    """
    checks = _crcs_of_zeros().take(lengths)
    for number, word in enumerate(words):
        pairs = word.view("<u2").reshape(-1, 4)
        for place in range(4):
            pair = pairs[:, 3 - place]
            table = _table(8 * number + 2 * place)
            if (pair == pair[0]).all():  # names often begin alike
                checks ^= table[pair[0]]
            else:
                checks ^= table.take(pair)
    return checks


def hashes(words: list[_Words], lengths: _Ints) -> _Words:
    """A number for each text: equal ones have the same."""
    found = lengths.astype(np.uint64)
    for word in words:
        found ^= word
        found *= _ODD
        found ^= found >> np.uint64(32)
    return found


@functools.cache
def _crcs_of_zeros() -> np.ndarray[Any, np.dtype[np.uint32]]:
    """CRC-32 of 0 to `LONGEST` zero bytes."""
    return np.array([zlib.crc32(bytes(length)) for length in range(LONGEST + 1)], np.uint32)


@functools.cache
def _table(behind: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """uint32 [65536], what two bytes (little-endian) add to the CRC-32 of a text in which `behind` bytes follow."""
    late, early = (
        np.array([zlib.crc32(bytes([byte]) + bytes(after)) for byte in range(256)], np.uint32)
        ^ np.uint32(zlib.crc32(bytes(after + 1)))
        for after in (behind, behind + 1)
    )
    table: np.ndarray[Any, np.dtype[np.uint32]] = (late[:, None] ^ early[None, :]).reshape(-1)
    return table
