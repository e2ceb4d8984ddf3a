"""TFRecord files of tf.train.Example: frames by `tfrecord_frames.py`, Examples many at once by `tf_example_fast.py`, or
one by one by `tf_example.py` where their encoding is unusual or something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from app.datasets.chunk import Chunk
from app.datasets.limits import Limits
from app.datasets.readers import tf_example_fast
from app.datasets.readers.doubt import Doubt
from app.datasets.readers.tf_example import BadExample, Feature, decode_example
from app.datasets.readers.tf_example_fast import Lists, Unusual, ranges
from app.datasets.readers.tfrecord_frames import Group, groups
from app.datasets.upload_schema import Schema
from app.errors import InvalidInput, TooLarge, quote_name

_LONG_STRING = 64
_TYPES = {"bytes": pa.large_binary(), "float": pa.float64(), "int64": pa.int64()}


@dataclass
class _Column:
    """What the first pass learned of a feature."""

    kind: str | None = None
    longest: int = 0


class TFRecordReader:
    """Reads one file in two passes: the first checks it and finds which features are lists. The quick way takes its
    first records for all of it in this, checks the others while it reads them, and gives up where they are different.

    Args:
        quick: `chunks` then also raises Doubt.

    A feature that never has more than one value is a column of single values; an absent or empty one is null there.

    Attributes:
        names: features, sorted, because the records' own order means nothing.
        warnings: empty.

    Raises (all methods): InvalidInput or TooLarge, naming the record and its byte offset.
    """

    def __init__(self, file: BinaryIO, limits: Limits, schema: Schema, *, quick: bool = False) -> None:
        self._file = file
        self._limits = limits
        self._schema = schema
        self._quick = quick
        self.warnings: list[str] = []
        self._columns: dict[str, _Column] = {}
        for group in groups(file, limits.max_line_bytes, check=True):
            if not self._learn_all(group):
                for index, record in enumerate(group.records()):
                    place = group.place(index)
                    self._learn(_decode(record, place), place)
            if quick:
                break
        self.names = sorted(self._columns)

    def _learn_all(self, group: Group) -> bool:
        """Learns of all records at once; False, having learned nothing, when each must be looked at."""
        try:
            found = tf_example_fast.decode(group.data, group.starts, group.ends)
        except Unusual:
            return False
        known = self._columns
        if "" in found or len(known.keys() | found.keys()) > self._limits.max_columns:
            return False
        if any(
            lists.kind and name in known and known[name].kind not in (None, lists.kind) for name, lists in found.items()
        ):
            return False
        for name, lists in found.items():
            column = known.setdefault(name, _Column())
            column.kind = column.kind or lists.kind
            column.longest = max(column.longest, int(lists.counts.max()))
        return True

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
        for group in groups(self._file, self._limits.max_line_bytes, check=self._quick):
            yield Chunk(self._arrays(group), len(group), group.place)

    def _arrays(self, group: Group) -> dict[str, pa.Array]:
        try:
            found = tf_example_fast.decode(group.data, group.starts, group.ends)
        except Unusual:
            if self._quick:
                raise Doubt from None
            rows = [_decode(record, group.place(index)) for index, record in enumerate(group.records())]
            return {name: self._array(name, [row.get(name) for row in rows]) for name in self.names}
        if self._quick and not all(self._known(name, lists) for name, lists in found.items()):
            raise Doubt
        return {name: self._array_of_lists(name, group.data, found[name]) for name in self.names if name in found}

    def _known(self, name: str, lists: Lists) -> bool:
        """Whether nothing new is to be learned from these."""
        column = self._columns.get(name)
        if column is None or lists.kind not in (None, column.kind):
            return False
        return column.longest > 1 or int(lists.counts.max()) <= 1

    def _array_of_lists(self, name: str, data: bytes, lists: Lists) -> pa.Array:
        """The same as `_array`, for all records at once."""
        column, wanted = self._columns[name], self._schema[name]
        counts, element = lists.counts, _TYPES.get(column.kind or "", pa.null())
        values = _values(data, lists, element)
        is_list = wanted.is_list if wanted.is_list or wanted.sequence is False else column.longest > 1
        if is_list or column.longest > 1:
            # An empty list of a dense feature is a missing one.
            null = counts == 0 if is_list and wanted.shape else ~lists.present
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
            return pa.LargeListArray.from_arrays(
                pa.array(offsets, mask=np.append(null, False)), values, type=pa.large_list(element)
            )
        if counts.all():
            return values
        return values.take(pa.array(np.cumsum(counts) - 1, mask=counts == 0))

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


def _values(data: bytes, lists: Lists, element: pa.DataType) -> pa.Array:
    """All values one after the other."""
    if lists.kind is None:
        return pa.nulls(0, element)
    if lists.kind != "bytes":
        with np.errstate(invalid="ignore"):  # a NaN may be one that signals
            return pa.array(lists.values.astype(element.to_pandas_dtype(), copy=False))
    sizes = lists.values[:, 1] - lists.values[:, 0]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    if sizes.mean() > _LONG_STRING:
        content = b"".join([data[start:end] for start, end in zip(*lists.values.T.tolist(), strict=True)])
    else:  # byte by byte in numpy: for short ones faster than slices
        content = np.frombuffer(data, np.uint8)[ranges(lists.values[:, 0], sizes)].tobytes()
    return pa.LargeBinaryArray.from_buffers(element, len(sizes), [None, pa.py_buffer(offsets), pa.py_buffer(content)])


def _decode(record: bytes, place: str) -> dict[str, Feature | None]:
    try:
        return decode_example(record)
    except BadExample as error:
        raise InvalidInput.at("/file", f"{place}: not a tf.train.Example: {error}.") from None
