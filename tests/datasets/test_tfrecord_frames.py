"""Frames of TFRecord files: groups, places, checksums."""

from __future__ import annotations

import io

import pytest

from app.datasets.readers import tfrecord_frames
from app.datasets.readers.tfrecord_frames import crc32c, groups
from app.errors import InvalidInput, TooLarge
from tests.datasets.test_tfrecord import record


def test_checksums_are_those_that_were_published() -> None:
    # RFC 3720, B.4: 32 bytes of zeros, of ones, ascending; and the catalogue's check value for "123456789".
    messages = [bytes(32), b"\xff" * 32, bytes(range(32)), b"123456789"]
    expected = [0x8A9136AA, 0x62A8AB43, 0x46DD794E, 0xE3069283]

    assert [crc32c(message) for message in messages] == expected


class Dribbling(io.BytesIO):
    """Gives a few bytes at a time, whatever is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(7, size if size and size > 0 else 7))


@pytest.mark.parametrize("file", [io.BytesIO, Dribbling])
@pytest.mark.parametrize(("most", "size"), [(1, 64), (3, 64), (8192, 2 << 20)])
def test_every_record_comes_once_in_order_with_its_place(
    monkeypatch: pytest.MonkeyPatch, file: type[io.BytesIO], most: int, size: int
) -> None:
    monkeypatch.setattr(tfrecord_frames, "_GROUP_RECORDS", most)
    monkeypatch.setattr(tfrecord_frames, "_GROUP_BYTES", size)
    wanted = [bytes([n]) * (n * 7 % 90) for n in range(20)]
    data = b"".join(map(record, wanted))

    found, places, offset = [], [], 0
    for group in groups(file(data), 1000, check=True):
        found += list(group.records())
        places += [group.place(index) for index in range(len(group))]

    assert found == wanted
    for number, content in enumerate(wanted):
        assert places[number] == f"Record {number + 1} at byte {offset}"
        offset += 16 + len(content)


def test_the_first_fault_of_the_file_is_told() -> None:
    good, wrong = record(b"good"), bytearray(record(b"wrong"))
    wrong[12] ^= 1

    with pytest.raises(InvalidInput, match="Record 2 at byte 20: wrong CRC of the record's data"):
        list(groups(io.BytesIO(good + bytes(wrong) + good[:-1]), 1000, check=True))


def test_a_length_that_is_not_its_checksums_is_not_believed() -> None:
    damaged = bytearray(record(b"good") * 2)
    damaged[20 + 7] = 0x7F  # the second record says that it has 2**63 bytes and more

    with pytest.raises(InvalidInput, match="Record 2 at byte 20: wrong CRC of the record's length"):
        list(groups(io.BytesIO(bytes(damaged)), 1000, check=True))


def test_a_record_over_the_limit_is_not_read() -> None:
    with pytest.raises(TooLarge, match="Record 2 at byte 20: longer than 10 bytes"):
        list(groups(io.BytesIO(record(b"good") + record(b"x" * 11)[:12]), 10, check=True))


def test_a_file_is_read_again_from_its_beginning() -> None:
    file = io.BytesIO(record(b"a"))

    assert [list(group.records()) for _ in range(2) for group in groups(file, 10, check=True)] == [[b"a"], [b"a"]]
