"""CRC-32C (Castagnoli; RFC 3720, appendix B.4) of many records at once, with numpy.

A CRC register that starts at zero is linear in the message, and zero bytes in front of a message change nothing. So
every record is cut into blocks of 64 bytes (the first one filled up in front), all blocks of all records are worked
on side by side, and neighbours are put together pair by pair: crc(A + B) = shift(crc(A), len(B)) ^ crc(B).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_POLYNOMIAL = 0x82F63B78  # reversed bits
_BLOCK = 64
_UInts = np.ndarray[Any, np.dtype[np.uint32]]


def _byte_table() -> list[int]:
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
        table.append(register)
    return table


_TABLE = _byte_table()


def crc32c(data: bytes) -> int:
    """The CRC of one short message."""
    register = 0xFFFFFFFF
    for byte in data:
        register = _TABLE[(register ^ byte) & 255] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A CRC as TFRecord stores it: rotated right by 15 bits, plus a constant."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


class _Shift:
    """What `count` zero bytes do to a register: a linear map over bits, applied through four tables of 256."""

    def __init__(self, images: _UInts) -> None:
        """`images`: uint32 [32], where each single bit goes."""
        self._images = images
        bits = (np.arange(256)[:, None] >> np.arange(8)) & 1  # [256, 8]
        parts = images.reshape(4, 1, 8) * bits.astype(np.uint32)
        self._tables = np.bitwise_xor.reduce(parts, axis=2)  # [4, 256]

    @classmethod
    def one_byte(cls) -> _Shift:
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
        return cls(np.array(_TABLE, np.uint32)[bits & 255] ^ (bits >> 8))

    def __call__(self, registers: _UInts) -> _UInts:
        tables = self._tables
        result: _UInts = tables[0][registers & 255] ^ tables[1][(registers >> 8) & 255]
        result ^= tables[2][(registers >> 16) & 255] ^ tables[3][registers >> 24]
        return result

    def doubled(self) -> _Shift:
        return _Shift(self(self._images))


def _shifts() -> list[_Shift]:
    """By 64 bytes, 128, 256 and so on: enough for blocks of any record below 2**32 bytes."""
    shift = _Shift.one_byte()
    for _ in range(6):
        shift = shift.doubled()
    shifts = [shift]
    while len(shifts) < 26:
        shifts.append(shifts[-1].doubled())
    return shifts


_WORD = _Shift.one_byte().doubled().doubled()
_SHIFTS = _shifts()


def crc32c_many(records: Sequence[bytes]) -> _UInts:
    """uint32 [n], the CRC of each record (each below 2**32 bytes)."""
    result = np.zeros(len(records), np.uint32)
    long = [index for index, record in enumerate(records) if len(record) >= 4]
    for index, record in enumerate(records):
        if len(record) < 4:
            result[index] = crc32c(record)
    if not long:
        return result
    counts = np.array([-(-len(records[index]) // _BLOCK) for index in long], np.int64)
    fill = bytes(_BLOCK)
    pieces: list[bytes] = []
    for index in long:
        pieces += (fill[: -len(records[index]) % _BLOCK], records[index])
    data = np.frombuffer(bytearray(b"".join(pieces)), np.uint8)
    lengths = np.array([len(records[index]) for index in long], np.int64)
    starts = np.cumsum(counts * _BLOCK) - lengths
    data[starts[:, None] + np.arange(4)] ^= 0xFF  # the same as a register that starts with all bits set
    result[long] = _joined(_blocks(data), counts) ^ np.uint32(0xFFFFFFFF)
    return result


def _blocks(data: np.ndarray[Any, Any]) -> _UInts:
    """Registers of all blocks, each started at zero."""
    words = np.ascontiguousarray(data.view("<u4").reshape(-1, _BLOCK // 4).T)
    registers = np.zeros(words.shape[1], np.uint32)
    for word in words:
        registers = _WORD(registers ^ word)
    return registers


def _joined(registers: _UInts, counts: np.ndarray[Any, Any]) -> _UInts:
    """One register a record, from `counts[i]` blocks each; a record with an odd number gets a zero block in front."""
    for shift in _SHIFTS:
        if counts.max() == 1:
            break
        halves = (counts + 1) // 2
        padded = np.zeros(2 * int(halves.sum()), np.uint32)
        move = np.cumsum(2 * halves) - np.cumsum(counts)  # the ends of the records move by this much
        padded[np.arange(len(registers)) + np.repeat(move, counts)] = registers
        registers = shift(padded[0::2]) ^ padded[1::2]
        counts = halves
    return registers
