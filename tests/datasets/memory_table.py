"""Data sets from columns in memory, for tests of readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.datasets.chunk import Chunk, plain_array
from app.datasets.limits import Limits
from app.datasets.upload_schema import parse_schema
from app.datasets.writers.table_writer import TableWriter
from app.errors import InvalidInput


def write_table(
    directory: Path, columns: Mapping[str, Any], schema: dict[str, Any] | None = None, rows_per_chunk: int = 1 << 16
) -> dict[str, Any]:
    """Writes columns that are in memory as a data set, the way `ingest` would.

    Args:
        directory: made when it does not exist.
        columns: name → list or array of numbers, booleans, strings, bytes, None, or lists of those.
        schema: as `ingest` takes it.

    Returns:
        What stands in meta.json.
    """
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: plain_array(pa.array(values.tolist() if isinstance(values, np.ndarray) else values), name)
        for name, values in columns.items()
    }
    rows = {len(array) for array in arrays.values()}
    if len(rows) > 1:
        raise InvalidInput(f"The columns have different lengths: {sorted(rows)}.")
    limits = Limits()
    writer = TableWriter(directory, limits, parse_schema(schema, limits.max_sequence))
    for start in range(0, max(rows, default=0), rows_per_chunk):
        part = {name: array.slice(start, rows_per_chunk) for name, array in arrays.items()}
        size = len(next(iter(part.values())))
        writer.write(Chunk(part, size, lambda row, first=start: f"row {first + row + 1}"))  # type: ignore[misc]
    return writer.close()
