"""Ingests bytes in a test and opens what was stored."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.datasets.ingest import IngestedDataset, ingest
from app.datasets.limits import Limits
from app.datasets.table import Table, open_dataset


class OneWay(io.RawIOBase):
    """A stream that can't be rewound, as one that comes over a network."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


@contextmanager
def ingested(
    data: bytes,
    name: str,
    schema: dict[str, Any] | None = None,
    limits: Limits | None = None,
) -> Iterator[tuple[IngestedDataset, Table]]:
    with tempfile.TemporaryDirectory() as directory:
        result = ingest(io.BytesIO(data), name, Path(directory), limits or Limits(), schema)
        yield result, open_dataset(directory)


def rows_of(data: bytes, name: str, schema: dict[str, Any] | None = None, limits: Limits | None = None) -> Any:
    """All rows of a small file, as JSON values."""
    with ingested(data, name, schema, limits) as (_, table):
        return table.preview(table.rows)


def types_of(data: bytes, name: str, schema: dict[str, Any] | None = None) -> dict[str, str]:
    """Column → dtype, with "[]" behind a sequence's."""
    with ingested(data, name, schema) as (result, _):
        return {info["name"]: info["dtype"] + "[]" * info["sequence"] for info in result.columns}
