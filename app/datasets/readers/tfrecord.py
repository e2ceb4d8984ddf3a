"""TFRecord files of tf.train.Example.

A record is: its length (uint64), the masked CRC-32C of these 8 bytes, the data, the masked CRC-32C of the data, all
little-endian (https://www.tensorflow.org/tutorials/load_data/tfrecord).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from app.datasets.chunk import Chunk
from app.datasets.limits import Limits
from app.datasets.readers.crc32c import crc32c, crc32c_many, masked
from app.datasets.readers.tf_example import BadExample, Feature, decode_example
from app.datasets.schema import Schema
from app.errors import InvalidInput, TooLarge, quote_name

_CHUNK_BYTES = 2 << 20
_CHUNK_RECORDS = 1 << 13
_TYPES = {"bytes": pa.large_binary(), "float": pa.float64(), "int64": pa.int64()}


@dataclass
class _Column:
    """What the first pass learned of a feature."""

    kind: str | None = None
    longest: int = 0


class TFRecordReader:
    """Reads one file in two passes: the first checks it and finds which features are lists.

    A feature that never has more than one value is a column of single values; an absent or empty one is null there.

    Attributes:
        names: features, sorted, because the records' own order means nothing.
        warnings: empty.

    Raises (all methods): InvalidInput or TooLarge, naming the record and its byte offset.
    """

    def __init__(self, file: BinaryIO, limits: Limits, schema: Schema) -> None:
        self._file = file
        self._limits = limits
        self._schema = schema
        self.warnings: list[str] = []
        self._columns: dict[str, _Column] = {}
        for records, places in self._groups(check=True):
            for record, place in zip(records, places, strict=True):
                self._learn(_decode(record, place), place)
        self.names = sorted(self._columns)

    def _learn(self, features: dict[str, Feature | None], place: str) -> None:
        for name, feature in features.items():
            column = self._columns.get(name)
            if column is None:
                if not name or len(self._columns) >= self._limits.max_columns:
                    what = f"more than {self._limits.max_columns} features" if name else "a feature without a name"
                    raise TooLarge.at("/file", f"{place}: {what}. Put numbers into one feature, and name it.")
                column = self._columns[name] = _Column()
            if feature is None:
                continue
            kind, values = feature
            if values and column.kind not in (None, kind):
                raise InvalidInput.at(
                    "/file",
                    f"{place}, feature {quote_name(name)}: {kind}, where records before have {column.kind}. "
                    "Write all records with the same type.",
                )
            if values:
                column.kind = kind
                column.longest = max(column.longest, len(values))

    def chunks(self) -> Iterator[Chunk]:
        """The records as rows."""
        for records, places in self._groups(check=False):
            rows = [_decode(record, place) for record, place in zip(records, places, strict=True)]
            columns = {name: self._array(name, [row.get(name) for row in rows]) for name in self.names}
            yield Chunk(columns, len(rows), places.__getitem__)

    def _array(self, name: str, features: list[Feature | None]) -> pa.Array:
        column, wanted = self._columns[name], self._schema[name]
        element = _TYPES.get(column.kind or "", pa.null())
        values = [None if feature is None else feature[1] for feature in features]
        is_list = wanted.is_list if wanted.is_list or wanted.sequence is False else column.longest > 1
        if is_list:
            # An empty list of a dense feature is a missing one.
            cells: list[Any] = [value or None for value in values] if wanted.shape else values
            return pa.array(cells, pa.large_list(element))
        if column.longest > 1:  # the schema says that it is no sequence: let the writer name the first list
            return pa.array(values, pa.large_list(element))
        return pa.array([value[0] if value else None for value in values], element)

    def _groups(self, check: bool) -> Iterator[tuple[list[bytes], list[str]]]:
        """Records and their places, some MiB at a time; with their CRCs compared when `check`."""
        group: list[tuple[bytes, str]] = []
        checksums: list[int] = []
        size = 0
        for number, offset, record, checksum in self._records():
            group.append((record, f"Record {number} at byte {offset}"))
            checksums.append(checksum)
            size += len(record)
            if size >= _CHUNK_BYTES or len(group) >= _CHUNK_RECORDS:
                yield _checked(group, checksums if check else None)
                group, checksums, size = [], [], 0
        if group:
            yield _checked(group, checksums if check else None)

    def _records(self) -> Iterator[tuple[int, int, bytes, int]]:
        """Yields (number from 1, byte offset, data, stored CRC)."""
        self._file.seek(0)
        number, offset = 1, 0
        while head := self._file.read(12):
            place = f"Record {number} at byte {offset}"
            if len(head) < 12:
                raise InvalidInput.at("/file", f"{place}: the file ends inside the record's length. Send all of it.")
            length, checksum = struct.unpack("<QI", head)
            if masked(crc32c(head[:8])) != checksum:
                raise InvalidInput.at(
                    "/file", f"{place}: wrong CRC of the record's length. Is it a TFRecord file? Write it again."
                )
            if length > self._limits.max_line_bytes:
                raise TooLarge.at("/file", f"{place}: longer than {self._limits.max_line_bytes} bytes. Split it.")
            data = self._file.read(length)
            foot = self._file.read(4)
            if len(foot) < 4:
                raise InvalidInput.at("/file", f"{place}: the file ends inside the record. Send all of it.")
            yield number, offset, data, int.from_bytes(foot, "little")
            number, offset = number + 1, offset + 16 + length


def _checked(group: list[tuple[bytes, str]], checksums: list[int] | None) -> tuple[list[bytes], list[str]]:
    records, places = [record for record, _ in group], [place for _, place in group]
    crcs = crc32c_many(records).tolist() if checksums else []
    for place, crc, stored in zip(places, crcs, checksums or [], strict=False):
        if masked(crc) != stored:
            raise InvalidInput.at("/file", f"{place}: wrong CRC of the record's data. Write the file again.")
    return records, places


def _decode(record: bytes, place: str) -> dict[str, Feature | None]:
    try:
        return decode_example(record)
    except BadExample as error:
        raise InvalidInput.at("/file", f"{place}: not a tf.train.Example: {error}.") from None
