"""Data sets as job requests see them: columns and their statistics, no data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Column = Mapping[str, Any]
"""One column as the API shows it: name, dtype (float32 | int64 | string), sequence, shape, nulls, min, max, mean,
stddev, distinct, vocabulary (most frequent first; null when there are too many values)."""


@dataclass(frozen=True)
class DatasetInfo:
    """One data set as the registry has it."""

    id: str
    digest: str
    rows: int
    columns: list[dict[str, Any]]
    _by_name: dict[str, dict[str, Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column["name"]: column for column in self.columns})

    def column(self, name: str) -> dict[str, Any] | None:
        return self._by_name.get(name)

    @property
    def names(self) -> list[str]:
        return [column["name"] for column in self.columns]


def is_number(column: Column) -> bool:
    return bool(column["dtype"] != "string")


def is_sequence(column: Column) -> bool:
    return bool(column.get("sequence"))


def width(column: Column) -> int:
    """Values per row of a dense column, per item of a sequence."""
    product = 1
    for size in column.get("shape") or ():
        product *= size
    return product


def all_null(column: Column, rows: int) -> bool:
    return rows > 0 and (column.get("nulls") or 0) >= rows
