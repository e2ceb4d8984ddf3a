"""Writes chunks of rows as the columnar format that `app.datasets.table` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.chunk import Chunk
from app.datasets.limits import Limits
from app.datasets.npy import NpyFile
from app.datasets.row_hash import digest_column
from app.datasets.table import FORMAT, META, ROW_DIGESTS
from app.datasets.upload_schema import Schema
from app.datasets.writers.column import ColumnWriter
from app.datasets.writers.memory_budget import MemoryBudget
from app.errors import InvalidInput, TooLarge, quote_name


class TableWriter:
    """One table, written front to back in memory that depends on the chunks' size and the dictionaries' budget.

    Args:
        directory: exists and is empty; the files are written into it.
        columns: names in their order, so far as they are known; others are appended as chunks bring them.
    """

    def __init__(self, directory: Path, limits: Limits, schema: Schema, columns: Sequence[str] = ()) -> None:
        self._directory = directory
        self._limits = limits
        self._schema = schema
        self._budget = MemoryBudget()
        self._columns: dict[str, ColumnWriter] = {}
        self._digests = NpyFile(directory / ROW_DIGESTS, np.uint64)
        self.rows = 0
        for name in columns:
            self._add_column(name)

    def _add_column(self, name: str) -> ColumnWriter:
        if len(self._columns) >= self._limits.max_columns:
            raise TooLarge.at(
                "/file", f"More than {self._limits.max_columns} columns. Put many numbers into a list in one column."
            )
        if not name or "\0" in name or not _encodable(name):
            raise InvalidInput.at(
                "/file", f"The column name {quote_name(name)} is empty, or no text. Give the column a name in UTF-8."
            )
        stem = self._directory / str(len(self._columns))
        writer = ColumnWriter(name, stem, self._schema[name], self._budget, self._limits.max_sequence)
        self._columns[name] = writer
        if self.rows:
            writer.write_nulls(self.rows)
        return writer

    def write(self, chunk: Chunk) -> None:
        """Appends a chunk's rows. Raises InvalidInput with the place of the first bad cell of a column."""
        if self.rows + chunk.rows > self._limits.max_rows:
            raise TooLarge.at("/file", f"More than {self._limits.max_rows} rows.")
        digests = np.zeros(chunk.rows, np.uint64)
        for name, array in chunk.columns.items():
            written = (self._columns.get(name) or self._add_column(name)).write(array, chunk.where)
            if written is not None:
                digests += digest_column(name, *written)
        for name in self._columns.keys() - chunk.columns.keys():
            self._columns[name].write_nulls(chunk.rows)
        self._digests.append(digests)
        self.rows += chunk.rows

    def close(self) -> dict[str, Any]:
        """Completes the files; returns what stands in meta.json: {format, rows, digest, columns}."""
        if not self.rows:
            raise InvalidInput.at("/file", "The file has no rows. Give it at least one row of data.")
        if not self._columns:
            raise InvalidInput.at("/file", "The file has no columns. Give its rows at least one named value.")
        self._schema.check_names(
            [*self._columns, *(name for name, entry in self._schema.columns.items() if entry.timestamp is not None)]
        )
        self._digests.close()
        columns = []
        for index, writer in enumerate(self._columns.values()):
            storage, info = writer.close()
            columns.append({"index": index, "storage": storage, "info": info})
        meta = {"format": FORMAT, "rows": self.rows, "columns": columns}
        meta["digest"] = _digest(self._directory, meta)
        (self._directory / META).write_text(json.dumps(meta), encoding="utf-8")
        return meta


def _encodable(name: str) -> bool:
    """False for half of a surrogate pair, which JSON can carry and UTF-8 cannot."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _digest(directory: Path, meta: dict[str, Any]) -> str:
    """SHA-256 over the names, types and stored values, whatever file they came from. The statistics follow from
    them, up to rounding.
    """
    columns = [
        [column["index"], column["storage"], *(column["info"][key] for key in ("name", "dtype", "sequence", "shape"))]
        for column in meta["columns"]
    ]
    total = hashlib.sha256(json.dumps([meta["format"], meta["rows"], columns]).encode("ascii"))
    for path in sorted(directory.glob("*.npy")):
        total.update(f"\n{path.name} {path.stat().st_size}\n".encode("ascii"))
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return "sha256:" + total.hexdigest()
