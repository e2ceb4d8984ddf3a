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

from app.errors import InvalidInput, TooLarge

_GROUP_BYTES = 2 << 20
_GROUP_RECORDS = 1 << 13
_HEAD, _FOOT = 12, 4
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")

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
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    ends: np.ndarray[tuple[int], np.dtype[np.int64]]
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
        starts, fault = _frames(data, max_record_bytes, check=check)
        ends = [start + _LENGTH.unpack_from(data, start - _HEAD)[0] for start in starts]
        if starts:
            group = Group(data, np.array(starts, np.int64), np.array(ends, np.int64), number, offset)
            if check:
                _compare(group)
            yield group
            number, offset, data = number + len(starts), offset + ends[-1] + _FOOT, data[ends[-1] + _FOOT :]
        if fault is not None:
            raise fault(f"Record {number} at byte {offset}")
        if ended and not starts:
            part = " inside the record's length" if len(data) < _HEAD else " inside the record"
            raise InvalidInput.at("/file", f"Record {number} at byte {offset}: the file ends{part}. Send all of it.")


def _fault(kind: type[InvalidInput | TooLarge], what: str) -> _Fault:
    return lambda place: kind.at("/file", f"{place}: {what}")


def _frames(data: bytes, max_record_bytes: int, *, check: bool) -> tuple[list[int], _Fault | None]:
    """Where the data of each whole record begin, and what is wrong with the record after them."""
    starts: list[int] = []
    position, size = 0, len(data)
    while position + _HEAD <= size and len(starts) < _GROUP_RECORDS:
        (length,) = _LENGTH.unpack_from(data, position)
        if check and masked(crc32c(data[position : position + 8])) != _CRC.unpack_from(data, position + 8)[0]:
            what = "wrong CRC of the record's length. Is it a TFRecord file? Write it again."
            return starts, _fault(InvalidInput, what)
        if length > max_record_bytes:
            return starts, _fault(TooLarge, f"longer than {max_record_bytes} bytes. Split it.")
        end = position + _HEAD + length + _FOOT
        if end > size:
            break
        starts.append(position + _HEAD)
        position = end
    return starts, None


def _compare(group: Group) -> None:
    """Raises InvalidInput for the first record whose data are not those of its checksum."""
    for index, (start, end) in enumerate(zip(group.starts.tolist(), group.ends.tolist(), strict=True)):
        if masked(crc32c(group.data[start:end])) != _CRC.unpack_from(group.data, end)[0]:
            place = group.place(index)
            raise InvalidInput.at("/file", f"{place}: wrong CRC of the record's data. Write the file again.")


def _frame_size(data: bytes) -> int:
    """Bytes of the frame that `data` begin with, when its length is there."""
    return int(_HEAD + _LENGTH.unpack_from(data)[0] + _FOOT) if len(data) >= _HEAD else 0
