"""The columns of a batch, from requests that brought rows and requests that brought columns."""

from __future__ import annotations

from typing import Any

from app.serving.decode import Decoded
from app.serving.packing import Row, RowPacker
from app.serving.protocol import Column


def batch_columns(packer: RowPacker, requests: list[Decoded]) -> Any:
    """The rows of a batch, request after request. Rows of one form are packed together, which costs least."""
    first = requests[0]
    if first.packed is not None:
        return first.packed
    if len(requests) == 1:
        return packer.pack(first.rows) if first.columns is None else first.columns
    parts: list[list[Column]] = []
    rows: list[Row] = []
    for request in requests:
        if request.columns is None:
            rows += request.rows
            continue
        if rows:
            parts.append(packer.pack(rows))
            rows = []
        parts.append(request.columns)
    if rows:
        parts.append(packer.pack(rows))
    return parts[0] if len(parts) == 1 else [_joined(columns) for columns in zip(*parts, strict=True)]


def _joined(columns: tuple[Column, ...]) -> Column:
    """One column of the parts of a batch: raw values of numbers, or strings, after one another."""
    if isinstance(columns[0], bytes):
        return b"".join(columns)  # type: ignore[arg-type]
    return [value for column in columns for value in column]
