"""CRC-32C against its published check values, and the vectorised form against the plain one."""

import random

from app.datasets.readers.crc32c import crc32c, crc32c_many


def test_published_values() -> None:
    # RFC 3720, B.4: 32 bytes of zeros, of ones, ascending; and the catalogue's check value for "123456789".
    messages = [bytes(32), b"\xff" * 32, bytes(range(32)), b"123456789"]
    expected = [0x8A9136AA, 0x62A8AB43, 0x46DD794E, 0xE3069283]
    assert [crc32c(message) for message in messages] == expected
    assert crc32c_many(messages).tolist() == expected


def test_many_records_of_any_length_agree_with_one_by_one() -> None:
    source = random.Random(7)
    records = [source.randbytes(length) for length in [*range(300), 4096, 4097, 20_011]]
    assert crc32c_many(records).tolist() == [crc32c(record) for record in records]
    assert crc32c_many([]).tolist() == []
