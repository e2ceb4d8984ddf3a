"""The files of a batch prediction, JSON lines and Parquet, written as the batches come."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

JSONL, PARQUET = "predictions.jsonl", "predictions.parquet"

#: A row group of the Parquet file. One for each batch made the file's index, held until the end, as large as the rows.
_GROUP_BYTES = 1 << 24


class PredictionFiles:
    """Both files, open from the first batch to `close`.

    Args:
        directory: an existing one, where they go.

    Attributes:
        rows: written so far.
    """

    def __init__(self, directory: Path) -> None:
        self.rows = 0
        self._path = directory / PARQUET
        self._lines = (directory / JSONL).open("wb")
        self._encoder = msgspec.json.Encoder()
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._bytes = 0

    def add(self, batch: Mapping[Any, Any]) -> None:
        """Writes a batch of predictions.

        Args:
            batch: name, or (head, name), to array `[rows, …]`.

        Raises:
            pyarrow.ArrowInvalid: a prediction is of another type than in the first batch.
        """
        arrays = {_key(name): _flat(np.asarray(values)) for name, values in batch.items()}
        columns = {name: _values(array) for name, array in arrays.items()}
        names = list(columns)
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        self._lines.write(self._encoder.encode_lines(rows))
        parts = {name: _arrow(array, columns[name]) for name, array in arrays.items()}
        table = pa.table(parts) if self._writer is None else pa.table(parts, schema=self._writer.schema)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._waiting.append(table)
        self._bytes += table.nbytes
        if self._bytes >= _GROUP_BYTES:
            self._write_group()
        self.rows += len(rows)

    def _write_group(self) -> None:
        if self._waiting:
            table = pa.concat_tables(self._waiting)
            self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._waiting, self._bytes = [], 0

    def close(self, *, complete: bool) -> None:
        """Ends the files. `complete`: what waits is written too, and the lines are on the disk."""
        try:
            if complete:
                self._write_group()
                self._lines.flush()
                os.fsync(self._lines.fileno())
        finally:
            self._lines.close()
            if self._writer is not None:
                self._writer.close()


def _key(name: Any) -> str:
    """A prediction's name; with several heads it is (head, name)."""
    return "/".join(name) if isinstance(name, tuple) else str(name)


def _flat(array: Any) -> Any:
    """Vectors of one number as numbers."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _values(array: Any) -> list[Any]:
    """Each row's value for JSON: bytes as text (or {"b64": …}); the encoder writes null for what is not finite."""
    return array.tolist() if array.dtype.kind in "fiub" else [_json(value) for value in array.tolist()]


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _arrow(array: Any, values: list[Any]) -> Any:
    """A column of the Parquet file: float64 or int64, lists of those for vectors, null for what is not finite.

    Numbers are taken from the array, in a hundredth of the time that Arrow needs to read a list of lists.
    """
    kind = array.dtype.kind
    if kind not in "fi" or array.ndim > 2:
        return pa.array(values)
    flat = np.ascontiguousarray(array).reshape(-1).astype(np.float64 if kind == "f" else np.int64, copy=False)
    numbers = pa.array(flat, mask=~np.isfinite(flat))
    if array.ndim == 1:
        return numbers
    return pa.ListArray.from_arrays(np.arange(len(array) + 1, dtype=np.int32) * array.shape[1], numbers)
