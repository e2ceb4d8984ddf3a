"""TFRecord files of tf.train.Example, read without TensorFlow."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.limits import Limits
from app.datasets.readers.tf_example import BadExample, decode_example
from app.datasets.readers.tfrecord_frames import crc32c, masked
from app.errors import InvalidInput, TooLarge
from tests.datasets.ingested import ingested, rows_of, types_of

# Written by TensorFlow 2.21: {a: [1], b: [1.5], s: [b"x"], l: [1, -2, 300]}, {a: [-7], s: [], l: []} and
# {a: [2**62], b: [2.5], s: [b"\xff\0"], l: [5]}; the records begin at bytes 0, 81 and 138.
FILE = bytes.fromhex(
    "410000000000000000a9c2ab0a3f0a0a0a016112051a030a01010a0d0a0162120812060a040000c03f0a160a016c12111a0f0a0d01feffff"
    "ffffffffffff01ac020a0a0a017312050a030a0178ce61fe62290000000000000037ff5f000a270a130a0161120e1a0c0a0af9ffffffffff"
    "ffffff010a070a016c12021a000a070a017312021a00983b57ae3e00000000000000d9d240e70a3c0a120a0161120d1a0b0a098080808080"
    "808080400a0d0a0162120812060a04000020400a0a0a016c12051a030a01050a0b0a017312060a040a02ff00821b1bd9"
)


def record(data: bytes) -> bytes:
    """One record around `data`, with right checksums."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def field(number: int, data: bytes) -> bytes:
    """One length-delimited protobuf field of less than 128 bytes."""
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def test_file_of_tensorflow_is_read() -> None:
    assert types_of(FILE, "x.tfrecord") == {"a": "int64", "b": "float32", "l": "int64[]", "s": "string"}
    assert rows_of(FILE, "x.tfrecords") == [
        {"a": 1, "b": 1.5, "l": [1, -2, 300], "s": "x"},
        {"a": -7, "b": None, "l": [], "s": None},
        {"a": 2**62, "b": 2.5, "l": [5], "s": {"b64": "/wA="}},
    ]


def test_schema_makes_a_single_value_a_list_and_a_list_dense() -> None:
    rows = rows_of(FILE, "x.tfrecord", {"columns": {"a": {"sequence": True}}})
    assert [row["a"] for row in rows] == [[1], [-7], [2**62]]
    with pytest.raises(InvalidInput, match="Record 3 at byte 138, column 'l': a list of 1 elements"):
        rows_of(FILE, "x.tfrecord", {"columns": {"l": {"shape": [3]}}})
    with pytest.raises(InvalidInput, match="Record 1 at byte 0, column 'l': a list"):
        rows_of(FILE, "x.tfrecord", {"columns": {"l": {"sequence": False}}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FILE[:-3], "Record 3 at byte 138: the file ends inside the record."),
        (FILE[:143], "Record 3 at byte 138: the file ends inside the record's length"),
        (FILE[:100] + b"!" + FILE[101:], "Record 2 at byte 81: wrong CRC of the record's data"),
        (FILE[:81] + b"!" + FILE[82:], "Record 2 at byte 81: wrong CRC of the record's length"),
        (b"a,b\n1,2\n3,4\n5,6\n", "Record 1 at byte 0: wrong CRC of the record's length"),
        (FILE + record(b"\x0a\x7f"), "Record 4 at byte 216: not a tf.train.Example"),
        (record(field(2, b"")), "Record 1 at byte 0: not a tf.train.Example: it is a SequenceExample"),
    ],
)
def test_bad_record_is_refused_with_its_byte_offset(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught, ingested(data, "x.tfrecord"):
        pass
    assert message in caught.value.detail


def test_length_of_two_to_the_63_is_refused_before_anything_is_read() -> None:
    length = struct.pack("<Q", 2**63)
    data = length + struct.pack("<I", masked(crc32c(length))) + b"xx"
    with pytest.raises(TooLarge, match="Record 1 at byte 0: longer than"):
        rows_of(data, "x.tfrecord")
    with pytest.raises(TooLarge, match="longer than 10 bytes"):
        rows_of(FILE, "x.tfrecord", limits=Limits(max_line_bytes=10))


def test_feature_of_two_kinds_is_refused() -> None:
    def example(kind: int, values: bytes) -> bytes:
        return record(field(1, field(1, field(1, b"a") + field(2, field(kind, values)))))

    number, text = example(3, field(1, b"\x05")), example(1, field(1, b"x"))
    assert rows_of(number + number, "x.tfrecord") == [{"a": 5}, {"a": 5}]
    with pytest.raises(InvalidInput, match="Record 2 at byte 30, feature 'a': bytes, where records before have int64"):
        rows_of(number + text, "x.tfrecord")


def test_unpacked_numbers_and_unknown_fields_are_taken() -> None:
    # Int64List {value: 7, value: 300} one by one; Feature has an unknown varint field 9.
    feature = field(3, b"\x08\x07\x08\xac\x02") + b"\x48\x01"
    data = field(1, field(1, field(1, b"a") + field(2, feature)))
    assert decode_example(data) == {"a": ("int64", [7, 300])}
    with pytest.raises(BadExample, match="cut off"):
        decode_example(data[:-1])


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=40) | st.integers(0, 64).flatmap(lambda at: st.just(FILE[12:77][:at] + FILE[12:77][at + 1 :]))
)
def test_any_bytes_in_a_record_are_read_or_refused(data: bytes) -> None:
    try:
        rows_of(record(data), "x.tfrecord")
    except InvalidInput as error:
        assert error.detail


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_file_is_noticed(place: int, change: int) -> None:
    data = bytearray(FILE)
    data[place] ^= change
    with pytest.raises(InvalidInput, match=r"Record \d at byte \d+:"):
        rows_of(bytes(data), "x.tfrecord")
