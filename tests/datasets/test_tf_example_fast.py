"""Many tf.train.Examples side by side against each by itself."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.datasets.limits import Limits
from app.datasets.readers import tf_example_fast
from app.datasets.readers.tf_example import decode_example
from app.datasets.readers.tf_example_fast import Unusual, decode
from app.datasets.readers.tfrecord import TFRecordReader
from app.datasets.upload_schema import Schema
from app.errors import InvalidInput, TooLarge
from tests.datasets.test_tfrecord import record


def varint(number: int) -> bytes:
    """Protobuf's encoding of a number modulo 2**64."""
    number %= 2**64
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def part(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def feature(kind: str | None, values: list[Any], packed: bool = True) -> bytes:
    """A serialized Feature."""
    if kind is None:
        return b""
    if kind == "bytes":
        return part(1, b"".join(part(1, value) for value in values))
    if kind == "float":
        numbers = [struct.pack("<f", value) for value in values]
        return part(2, part(1, b"".join(numbers)) if packed else b"".join(b"\x0d" + one for one in numbers))
    digits = [varint(value) for value in values]
    return part(3, part(1, b"".join(digits)) if packed else b"".join(b"\x08" + one for one in digits))


def serialized(entries: list[tuple[str, bytes]]) -> bytes:
    return part(1, b"".join(part(1, part(1, name.encode()) + part(2, value)) for name, value in entries))


def side_by_side(records: list[bytes]) -> list[dict[str, Any]]:
    """What `decode` finds, record by record, in the form of `decode_example`."""
    lengths = np.array([len(one) for one in records], np.int64)
    ends = np.cumsum(lengths)
    data = b"".join(records)
    rows: list[dict[str, Any]] = [{} for _ in records]
    for name, lists in decode(data, ends - lengths, ends).items():
        values = lists.values.tolist()
        if lists.kind == "bytes":
            values = [data[start:end] for start, end in values]
        stops = np.cumsum(lists.counts).tolist()
        for row, (count, stop) in enumerate(zip(lists.counts.tolist(), stops, strict=True)):
            if count:
                rows[row][name] = (lists.kind, values[stop - count : stop])
    return rows


FEATURES = st.one_of(
    st.just((None, [])),
    st.tuples(st.just("float"), st.lists(st.floats(width=32, allow_nan=False), max_size=3)),
    st.tuples(st.just("int64"), st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300), max_size=3)),
    st.tuples(st.just("bytes"), st.lists(st.binary(max_size=200), max_size=3)),
)
EXAMPLES = st.lists(st.tuples(st.sampled_from(["a", "b", "é", "long" * 40]), FEATURES, st.booleans()), max_size=4).map(
    lambda entries: serialized([(name, feature(kind, values, packed)) for name, (kind, values), packed in entries])
)


@settings(max_examples=500, deadline=None)
@given(records=st.lists(EXAMPLES, min_size=1, max_size=5))
@example(records=[serialized([("a", feature("int64", [2**63 - 1, -1, -(2**63)]))])])
@example(records=[b"", serialized([]), serialized([("a", b"")])])
def test_what_is_taken_is_what_each_record_says(records: list[bytes]) -> None:
    expected = [{name: one for name, one in decode_example(data).items() if one and one[1]} for data in records]
    try:
        found = side_by_side(records)
    except Unusual:
        return

    assert found == expected


@settings(max_examples=500, deadline=None)
@given(records=st.lists(EXAMPLES, min_size=1, max_size=4), data=st.data())
def test_damaged_records_are_refused_or_read_as_before(records: list[bytes], data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(records) - 1))
    damaged = bytearray(records[which])
    for _ in range(data.draw(st.integers(1, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    file = b"".join(map(record, [*records[:which], bytes(damaged), *records[which + 1 :]]))

    assert read(file, fast=True) == read(file, fast=False)


def test_lengths_of_one_to_four_bytes_are_read_and_longer_ones_are_not() -> None:
    numbers = [0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**21 - 1, 2**21, 2**28 - 1]
    data = b"".join(map(varint, numbers)) + b"\xff" * 5
    sizes = np.array([len(varint(number)) for number in numbers])
    places = np.cumsum(sizes) - sizes
    buffer = np.frombuffer(data, np.uint8)

    values, used = tf_example_fast._varints(buffer, places, np.False_)

    assert values.tolist() == numbers
    assert used.tolist() == sizes.tolist()
    with pytest.raises(Unusual):
        tf_example_fast._varints(buffer, np.array([len(data) - 5]), np.False_)


def test_signalling_nan_is_read_as_any_other() -> None:
    example = serialized([("x", feature("float", [1.5, 2.5]))]).replace(struct.pack("<f", 2.5), b"\x01\x00\xa0\x7f")

    assert read(record(example), fast=True) == read(record(example), fast=False)


def read(file: bytes, *, fast: bool) -> Any:
    """All rows and places of a file, or what was refused."""
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(tf_example_fast, "decode", _unusual)
        try:
            reader = TFRecordReader(io.BytesIO(file), Limits(max_columns=3), Schema({}))
            rows = []
            for chunk in reader.chunks():
                columns = {name: array.to_pylist() for name, array in chunk.columns.items()}
                for row in range(chunk.rows):
                    cells = {name: repr(values[row]) for name, values in columns.items() if values[row] is not None}
                    rows.append((chunk.where(row), cells))
            return reader.names, rows
        except (InvalidInput, TooLarge) as error:
            return type(error).__name__, error.detail


def _unusual(*_: Any) -> Any:
    raise Unusual


def test_usual_records_are_taken_whatever_the_order_of_their_keys() -> None:
    one = [("a", feature("int64", [1])), ("b", feature("float", [0.5, 1.5])), ("s", feature("bytes", [b"x" * 300]))]

    assert side_by_side([serialized(one), serialized(one[::-1]), serialized(one[1:])]) == [
        {"a": ("int64", [1]), "b": ("float", [0.5, 1.5]), "s": ("bytes", [b"x" * 300])},
        {"a": ("int64", [1]), "b": ("float", [0.5, 1.5]), "s": ("bytes", [b"x" * 300])},
        {"b": ("float", [0.5, 1.5]), "s": ("bytes", [b"x" * 300])},
    ]


@pytest.mark.parametrize(
    "data",
    [
        part(2, b""),
        serialized([("a", feature("int64", [1])), ("a", feature("int64", [2]))]),
        part(1, b"") + part(1, b""),
        part(1, part(1, part(2, feature("int64", [1])) + part(1, b"a"))),
        serialized([("a", feature("int64", [1]) + feature("int64", [2]))]),
        serialized([("a", part(3, b"\x0a\x01\xff"))]),
        serialized([("a", part(2, b"\x0a\x03abc"))]),
        serialized([("a", feature("int64", [1]))])[:-1],
    ],
)
def test_other_encodings_are_left_to_the_careful_reader(data: bytes) -> None:
    with pytest.raises(Unusual):
        side_by_side([data])
