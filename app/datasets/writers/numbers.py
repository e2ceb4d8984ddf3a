"""Writes one column of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.chunk import Where
from app.datasets.npy import NpyFile
from app.datasets.row_hash import digest_numbers
from app.datasets.writers.column_statistics import NumberStatistics
from app.datasets.writers.memory_budget import MemoryBudget
from app.errors import InvalidInput, quote_name

_FLOAT32_MAX = float(np.finfo(np.float32).max)


class NumberWriter:
    """`<stem>.values.npy` (float32 or int64) and, when any cell is null, `<stem>.nulls.npy` (uint8, 1 is null).

    The dtype is the schema's; else int64 until the first floating-point chunk comes, then what was written is
    converted to float32. Statistics are those of the float64 values before they are stored.
    """

    storage = "number"

    def __init__(
        self, name: str, stem: Path, budget: MemoryBudget, dtype: str | None, shape: tuple[int, ...] = ()
    ) -> None:
        self.name = name
        self.shape = shape
        self._width = int(np.prod(shape)) if shape else None
        self._forced = dtype
        self.dtype = dtype or "int64"
        self._values = NpyFile(stem.with_name(stem.name + ".values.npy"), self.dtype, self._width)
        self._nulls = NpyFile(stem.with_name(stem.name + ".nulls.npy"), np.uint8)
        self._null_count = 0
        self._statistics = NumberStatistics(budget)

    def write(
        self, values: np.ndarray[Any, Any], null: np.ndarray[Any, Any] | None, where: Where
    ) -> np.ndarray[Any, Any]:
        """Appends rows and returns the digests of all their numbers (uint64, [n] or [n * width]).

        Args:
            values: int64 or float64 [n], or [n, width] for a column with a shape; 0 where null, never NaN.
            null: bool [n]; None when no row is null.
            where: place of row i, for messages.

        Raises:
            InvalidInput: a number that the dtype cannot hold.
        """
        stored = self._stored(values, where)
        nulls = 0 if null is None else int(np.count_nonzero(null))
        if null is not None and nulls:
            self._nulls.append_zeros(self._values.rows - self._nulls.rows)
            self._nulls.append(null)
            self._null_count += nulls
        self._values.append(stored)
        self._statistics.add((values[~null] if null is not None and nulls else values).ravel())
        return digest_numbers(values.ravel())

    @property
    def rows(self) -> int:
        return self._values.rows

    def write_nulls(self, count: int) -> None:
        """Appends `count` nulls."""
        self._nulls.append_zeros(self._values.rows - self._nulls.rows)
        self._values.append_zeros(count)
        for start in range(0, count, 1 << 18):
            self._nulls.append(np.ones(min(1 << 18, count - start), np.uint8))
        self._null_count += count

    def _stored(self, values: np.ndarray[Any, Any], where: Where) -> np.ndarray[Any, Any]:
        if values.dtype.kind == "f" and self.dtype == "int64":
            if self._forced is None:
                self._become_float()
            else:
                whole = (np.floor(values) == values) & (np.abs(values) < 2.0**63)
                self._check(whole, "a number that is no int64", "Correct it, or give dtype float32", where)
                return values.astype(np.int64)
        if self.dtype == "float32" and not (values.min() >= -_FLOAT32_MAX and values.max() <= _FLOAT32_MAX):
            self._check(
                np.abs(values.astype(np.float64)) <= _FLOAT32_MAX,
                "a number that is infinite or beyond the range of float32",
                "Leave the cell empty, rescale the column, or give dtype string",
                where,
            )
        return values

    def _check(self, good: np.ndarray[Any, Any], what: str, remedy: str, where: Where) -> None:
        if good.all():
            return
        row = int(np.flatnonzero(~good.reshape(len(good), -1).all(axis=1))[0])
        raise InvalidInput.at("/file", f"{where(row)}, column {quote_name(self.name)}: {what}. {remedy}.")

    def _become_float(self) -> None:
        old = self._values
        old.close()
        self.dtype = "float32"
        self._values = NpyFile(old.path.with_suffix(".new"), np.float32, self._width)
        for part in old.chunks():
            self._values.append(part.astype(np.float32))
        self._values.close()
        self._values.path.replace(old.path)
        self._values.path = old.path

    def close(self) -> dict[str, Any]:
        """Completes the files; returns the column's information."""
        self._values.close()
        if self._null_count:
            self._nulls.append_zeros(self._values.rows - self._nulls.rows)
            self._nulls.close()
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "nulls": self._null_count,
            **_as_stored(self._statistics.info(), self.dtype),
        }


def _as_stored(info: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Extremes of a float column as floats, also when its first chunks were integers."""
    if dtype == "float32":
        info["min"], info["max"] = (None if info[key] is None else float(info[key]) for key in ("min", "max"))
    return info
