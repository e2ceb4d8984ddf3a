"""The frames of a TFRecord file: records put together into groups, with their checksums compared.

A record is: its length (uint64), the masked CRC-32C of these 8 bytes, the data, the masked CRC-32C of the data, all
little-endian (https://www.tensorflow.org/tutorials/load_data/tfrecord).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from google_crc32c import value as crc32c

from app.datasets.readers.unaligned import numbers_at
from app.errors import InvalidInput, TooLarge

_GROUP_BYTES = 2 << 20
_GROUP_RECORDS = 1 << 13
_HEAD, _FOOT = 12, 4
_LENGTH = struct.Struct("<Q")

_Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
_Fault = Callable[[str], InvalidInput | TooLarge]
"""Makes the error of a record's frame, given its place."""


def masked(crc: int) -> int:
    """A CRC as TFRecord stores it: rotated right by 15 bits, plus a constant."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@dataclass(frozen=True)
class Group:
    """Some records of the file.

    Attributes:
        data: the part of the file that holds them.
        starts, ends: int64 [n], where each record's data lie in it.
        number: of the first record, from 1.
        offset: byte of the file at which `data` begins.
    """

    data: bytes
    starts: _Ints
    ends: _Ints
    number: int
    offset: int

    def __len__(self) -> int:
        return len(self.starts)

    def place(self, index: int) -> str:
        """Where a record stands in the file, for messages."""
        return f"Record {self.number + index} at byte {self.offset + int(self.starts[index]) - _HEAD}"

    def records(self) -> Iterator[bytes]:
        """The data of each record."""
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield self.data[start:end]


def groups(file: BinaryIO, max_record_bytes: int, *, check: bool) -> Iterator[Group]:
    """All records of the file from its beginning, some MiB at a time.

    Args:
        check: compare the checksums.

    Raises:
        InvalidInput, TooLarge: the first fault of the file, with the record's number and byte offset.
    """
    file.seek(0)
    data, offset, number, ended = b"", 0, 1, False
    while True:
        wanted = max(_GROUP_BYTES, min(_frame_size(data), max_record_bytes + _HEAD + _FOOT)) - len(data)
        if wanted > 0 and not ended:
            more = file.read(wanted)
            data, ended = data + more, not more
        if not data:
            return
        starts, ends = _frames(data)
        starts, ends, fault = _checked(data, starts, ends, max_record_bytes, check=check)
        if len(starts):
            group = Group(data, starts, ends, number, offset)
            if check:
                _compare(group)
            yield group
            used = int(ends[-1]) + _FOOT
            number, offset, data = number + len(starts), offset + used, data[used:]
        if fault is not None:
            raise fault(f"Record {number} at byte {offset}")
        if ended and not len(starts):
            part = " inside the record's length" if len(data) < _HEAD else " inside the record"
            raise InvalidInput.at("/file", f"Record {number} at byte {offset}: the file ends{part}. Send all of it.")


def _fault(kind: type[InvalidInput | TooLarge], what: str) -> _Fault:
    return lambda place: kind.at("/file", f"{place}: {what}")


def _frames(data: bytes) -> tuple[_Ints, _Ints]:
    """Where the data of each whole record begin and end, if the lengths are right."""
    places: list[int] = []
    # the inner loop of small records: one number is kept of each
    found, unpack, place, size, frame = places.append, _LENGTH.unpack_from, 0, len(data), _HEAD + _FOOT
    try:
        for _ in range(_GROUP_RECORDS):
            behind = place + frame + unpack(data, place)[0]
            if behind > size:
                break
            found(place)
            place = behind
    except struct.error:  # the data end within a length
        pass
    begins = np.array(places, np.int64)
    return begins + _HEAD, np.append(begins[1:], place)[: len(begins)] - _FOOT


def _checked(
    data: bytes, starts: _Ints, ends: _Ints, max_record_bytes: int, *, check: bool
) -> tuple[_Ints, _Ints, _Fault | None]:
    """The records before the first whose length is wrong or too large, and what is wrong with that one."""
    behind = int(ends[-1]) + _FOOT if len(ends) else 0
    heads = starts - _HEAD
    if behind + _HEAD <= len(data):  # also the record of which not all is there
        heads = np.append(heads, behind)
    if not len(heads):
        return starts, ends, None
    lengths = numbers_at(data, heads, "<u8")
    long = lengths > max_record_bytes
    wrong = np.zeros(len(heads), np.bool_)
    if check:
        different, which = np.unique(lengths, return_inverse=True)
        expected = [masked(crc32c(_LENGTH.pack(length))) for length in different.tolist()]
        wrong = np.array(expected, np.uint32)[which] != numbers_at(data, heads + _LENGTH.size, "<u4")
    bad = np.flatnonzero(wrong | long)
    if not len(bad):
        return starts, ends, None
    first = int(bad[0])
    if wrong[first]:
        fault = _fault(InvalidInput, "wrong CRC of the record's length. Is it a TFRecord file? Write it again.")
    else:
        fault = _fault(TooLarge, f"longer than {max_record_bytes} bytes. Split it.")
    return starts[:first], ends[:first], fault


def _compare(group: Group) -> None:
    """Raises InvalidInput for the first record whose data are not those of its checksum."""
    data = group.data
    spans = zip(group.starts.tolist(), group.ends.tolist(), strict=True)
    found = np.array([crc32c(data[start:end]) for start, end in spans], np.uint32)
    stored = numbers_at(data, group.ends, "<u4")
    # unmasked: the constant taken away, rotated back
    rotated = stored - np.uint32(0xA282EAD8)
    bad = np.flatnonzero(found != (rotated >> np.uint32(17) | rotated << np.uint32(15)))
    if len(bad):
        place = group.place(int(bad[0]))
        raise InvalidInput.at("/file", f"{place}: wrong CRC of the record's data. Write the file again.")


def _frame_size(data: bytes) -> int:
    """Bytes of the frame that `data` begin with, when its length is there."""
    return int(_HEAD + _LENGTH.unpack_from(data)[0] + _FOOT) if len(data) >= _HEAD else 0
