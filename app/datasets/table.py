"""Reads a stored data set: memory-mapped columns, needing numpy alone.

A data set is a directory: `meta.json` (`{format, rows, digest, columns: [{index, storage, info}]}`), one row digest
per row in `rows.digest.npy`, and per column (by its index) the files that its `storage` names:

    number       <i>.values.npy (float32 or int64, [rows, *shape]), <i>.nulls.npy (uint8) when any cell is null
    dictionary   <i>.codes.npy (int32, -1 is null), <i>.dictionary.offsets.npy, <i>.dictionary.bytes.npy
    plain        <i>.offsets.npy (int64, [rows + 1]), <i>.bytes.npy, <i>.nulls.npy when any cell is null

A sequence stores its elements in the same files, and <i>.row_splits.npy (int64, [rows + 1]) beside them.
"""

from __future__ import annotations

import base64
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.npy import open_npy
from app.datasets.row_hash import holdout_mask
from app.errors import InvalidInput, NotFound, quote_name

FORMAT = 1
META = "meta.json"
ROW_DIGESTS = "rows.digest.npy"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class NumberColumn:
    """Numbers, with 0 where the cell is null.

    Attributes:
        values: float32 or int64, [rows, *shape].
        nulls: uint8 [rows], 1 where the cell is null; None when no cell is.
        shape: of one row; () for a single number.
    """

    values: Array
    nulls: Array | None
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class StringColumn:
    """Byte strings (UTF-8, but for bytes from a TFRecord), either by code or, when too many are distinct, one by one.

    Attributes:
        codes: int32 [rows], indexes into `dictionary`, -1 where null; None for a plain column.
        dictionary: object array of bytes, in the order in which they came first; None for a plain column.
        offsets: int64 [rows + 1] into `data`; None for a column by code.
        data: uint8, all strings one after the other; None for a column by code.
        nulls: uint8 [rows]; None when no cell is null, and for a column by code.
    """

    codes: Array | None
    dictionary: Array | None
    offsets: Array | None = None
    data: Array | None = None
    nulls: Array | None = None

    def __len__(self) -> int:
        if self.codes is not None:
            return len(self.codes)
        assert self.offsets is not None
        return len(self.offsets) - 1

    def take(self, rows: Array | slice) -> Array:
        """The strings of some rows as an object array of bytes; b"" where null."""
        if self.codes is not None:
            strings: Array = self._dictionary_and_null[self.codes[rows]]
            return strings
        assert self.offsets is not None
        assert self.data is not None
        index = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        taken = np.empty(len(index), object)
        starts, ends = self.offsets[index], self.offsets[index + 1]
        for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            taken[place] = self.data[start:end].tobytes()
        return taken

    @functools.cached_property
    def _dictionary_and_null(self) -> Array:
        """The dictionary, and b"" at its end, where code -1 finds it."""
        return np.append(self.dictionary, np.array([b""], object))  # type: ignore[arg-type]

    def is_null(self, rows: Array | slice) -> Array:
        """bool, which of some rows are null."""
        if self.codes is not None:
            missing: Array = self.codes[rows] < 0
        elif self.nulls is not None:
            missing = self.nulls[rows] != 0
        else:
            missing = np.zeros(len(self), np.bool_)[rows]
        return missing


@dataclass(frozen=True)
class SequenceColumn:
    """A list of elements per row; a null list is stored as the empty one.

    Attributes:
        values: all elements, list after list; none of them is null.
        row_splits: int64 [rows + 1]; row i holds the elements from row_splits[i] to row_splits[i + 1].
    """

    values: NumberColumn | StringColumn
    row_splits: Array

    def take(self, rows: Array) -> tuple[Array, Array]:
        """The lists of some rows: their elements (numbers, or an object array of bytes) and int64 [n + 1] splits."""
        rows = np.asarray(rows)
        starts, lengths = self.row_splits[rows], self.row_splits[rows + 1] - self.row_splits[rows]
        splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        index = np.arange(splits[-1]) + np.repeat(starts - splits[:-1], lengths)
        elements = self.values.values[index] if isinstance(self.values, NumberColumn) else self.values.take(index)
        return elements, splits


Column = NumberColumn | StringColumn | SequenceColumn


class Table:
    """A stored data set. Columns are opened when they are asked for and stay open."""

    def __init__(self, directory: Path, meta: dict[str, Any]) -> None:
        self.directory = directory
        self.rows: int = meta["rows"]
        self.digest: str = meta["digest"]
        self._meta = {entry["info"]["name"]: entry for entry in meta["columns"]}
        self._open: dict[str, Column] = {}

    @property
    def names(self) -> list[str]:
        """Columns in the file's order."""
        return list(self._meta)

    def info(self, name: str) -> dict[str, Any]:
        """Type and statistics of a column: name dtype sequence shape nulls min max mean stddev distinct vocabulary,
        and max_length for a sequence (whose statistics are those of its elements).
        """
        info: dict[str, Any] = self._entry(name)["info"]
        return info

    def _entry(self, name: str) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = self._meta[name]
        except KeyError:
            raise InvalidInput(f"The data set has no column {quote_name(name)}.") from None
        return entry

    def column(self, name: str) -> Column:
        """The values of a column. Raises InvalidInput when there is no such column."""
        if name not in self._open:
            entry = self._entry(name)
            stem = str(entry["index"])
            values = self._strings(stem, entry) if entry["info"]["dtype"] == "string" else self._numbers(stem, entry)
            if entry["info"]["sequence"]:
                self._open[name] = SequenceColumn(values, self._file(f"{stem}.row_splits.npy"))
            else:
                self._open[name] = values
        return self._open[name]

    def _file(self, name: str) -> Array:
        return open_npy(self.directory / name)

    def _optional(self, name: str) -> Array | None:
        return self._file(name) if (self.directory / name).exists() else None

    def _numbers(self, stem: str, entry: dict[str, Any]) -> NumberColumn:
        shape = tuple(entry["info"]["shape"])
        values = self._file(f"{stem}.values.npy")
        if len(shape) > 1:
            values = values.reshape(len(values), *shape)
        return NumberColumn(values, self._optional(f"{stem}.nulls.npy"), shape)

    def _strings(self, stem: str, entry: dict[str, Any]) -> StringColumn:
        if entry["storage"] == "dictionary":
            offsets = self._file(f"{stem}.dictionary.offsets.npy").tolist()
            data = self._file(f"{stem}.dictionary.bytes.npy").tobytes()
            dictionary = np.empty(len(offsets) - 1, object)
            for index in range(len(dictionary)):
                dictionary[index] = data[offsets[index] : offsets[index + 1]]
            return StringColumn(self._file(f"{stem}.codes.npy"), dictionary)
        parts = self._file(f"{stem}.offsets.npy"), self._file(f"{stem}.bytes.npy")
        return StringColumn(None, None, *parts, self._optional(f"{stem}.nulls.npy"))

    @functools.cached_property
    def row_digests(self) -> Array:
        """uint64 [rows]."""
        return self._file(ROW_DIGESTS)

    def split_mask(self, holdout: float, part: str, rows: slice) -> Array:
        """bool, which of some rows are in one part.

        Args:
            holdout: share of the rows, by digest, that is held out; 0 to 1.
            part: "train" or "holdout".
        """
        if part not in ("train", "holdout"):
            raise ValueError(f"part must be 'train' or 'holdout', not {part!r}")
        if not 0.0 <= holdout <= 1.0:
            raise InvalidInput("holdout must lie between 0 and 1.")
        mask = holdout_mask(self.row_digests[rows], holdout)
        return mask if part == "holdout" else ~mask

    def preview(self, n: int) -> list[dict[str, Any]]:
        """The first `n` rows as JSON values; bytes that are not UTF-8 as {"b64": ...}."""
        rows = np.arange(min(n, self.rows))
        columns = [self._preview(name, rows) for name in self.names]
        return [dict(zip(self.names, cells, strict=True)) for cells in zip(*columns, strict=True)]

    def _preview(self, name: str, rows: Array) -> list[Any]:
        cells = _json_cells(self.column(name), rows)
        return list(map(_as_bool, cells)) if self.info(name).get("boolean") else cells


def _as_bool(cell: Any) -> Any:
    if isinstance(cell, list):
        return list(map(_as_bool, cell))
    return None if cell is None else bool(cell)


def open_dataset(directory: Path | str) -> Table:
    """Opens the data set in `directory`. Raises NotFound when none was completed there."""
    directory = Path(directory)
    try:
        meta = json.loads((directory / META).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound("The data set's files are missing.") from None
    if meta["format"] != FORMAT:
        raise InvalidInput(f"The data set is stored in format {meta['format']}; this version reads format {FORMAT}.")
    return Table(directory, meta)


def _json_cells(column: Column, rows: Array) -> list[Any]:
    if isinstance(column, SequenceColumn):
        elements, splits = column.take(rows)
        values = [_json_text(element) if isinstance(element, bytes) else element for element in elements.tolist()]
        return [values[start:end] for start, end in zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True)]
    if isinstance(column, StringColumn):
        cells = [_json_text(text) for text in column.take(rows).tolist()]
        null = column.is_null(rows)
    else:
        cells = column.values[rows].tolist()
        null = np.zeros(len(rows), np.bool_) if column.nulls is None else column.nulls[rows] != 0
    return [None if missing else cell for cell, missing in zip(cells, null.tolist(), strict=True)]


def _json_text(text: bytes) -> str | dict[str, str]:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(text).decode("ascii")}
