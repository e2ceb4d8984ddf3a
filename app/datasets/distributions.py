"""Distributions of the values of a data set's columns, and how strongly each column goes with a label.

Bounded: of a large data set evenly spread rows are looked at, `ROWS` at most, and of lists `ELEMENTS` elements. Numpy
alone, so that the API's process can do it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.table import Array, NumberColumn, SequenceColumn, StringColumn, Table, open_dataset

ROWS = 100_000
ELEMENTS = 1_000_000
BINS = 30
TOP = 20
_FEW = 20
"""So many different numbers are counted one by one too."""
_CATEGORIES = 200
"""So many categories of a column count for its strength; the others are one together."""

_lock = threading.Lock()


def distributions(directory: Path, names: tuple[str, ...], label: str | None) -> tuple[int, list[dict[str, Any]]]:
    """How many rows were looked at, and the distribution of each of some columns.

    Data sets never change, so what was computed is kept; one is computed at a time.

    Args:
        label: the column to which each is set in relation.

    Raises:
        InvalidInput: there is no such column.
        NotFound: the data set's files are missing.
    """
    with _lock:
        return _computed(str(directory), names, label)


@functools.lru_cache(maxsize=64)
def _computed(directory: str, names: tuple[str, ...], label: str | None) -> tuple[int, list[dict[str, Any]]]:
    table = open_dataset(directory)
    rows = np.unique(np.linspace(0, max(table.rows - 1, 0), min(table.rows, ROWS)).astype(np.int64))
    target = None if label is None else _Side.of(table, label, rows)
    return len(rows), [_distribution(table, name, rows, target) for name in names]


def _distribution(table: Table, name: str, rows: Array, target: _Side | None) -> dict[str, Any]:
    info = table.info(name)
    found: dict[str, Any] = {"name": name, "dtype": info["dtype"], "nulls": int(info["nulls"])}
    found |= {"histogram": None, "top": None, "others": None, "lengths": None, "strength": None}
    column = table.column(name)
    if isinstance(column, SequenceColumn):
        lengths = column.row_splits[rows + 1] - column.row_splits[rows]
        found["lengths"] = histogram(lengths)
        some = rows[np.cumsum(lengths) <= ELEMENTS]
        elements, _ = column.take(some)
        values, present = elements, np.ones(len(elements), np.bool_)
    else:
        values, present = _cells(column, rows)
    if values.dtype == object:
        found |= _top(values[present].tolist())
    else:
        numbers = np.asarray(values[present]).ravel()[:ELEMENTS]
        found["histogram"] = histogram(numbers)
        if info.get("boolean"):
            found |= _top(numbers.astype(np.bool_).tolist())
        elif len(np.unique(numbers[:ROWS])) <= _FEW:
            found |= _top(numbers.tolist())
    if target is not None and not isinstance(column, SequenceColumn):
        found["strength"] = strength(_Side.of(table, name, rows), target)
    return found


def _cells(column: NumberColumn | StringColumn, rows: Array) -> tuple[Array, Array]:
    """Values of some rows, and which of them are not null."""
    if isinstance(column, StringColumn):
        return column.take(rows), ~column.is_null(rows)
    present = np.ones(len(rows), np.bool_) if column.nulls is None else column.nulls[rows] == 0
    return column.values[rows], present


def histogram(values: Array) -> dict[str, Any] | None:
    """Counts of finite numbers in bins of equal width; one bin a number where they are few whole ones. None for no
    values. `edges` has one more than `counts`; the last bin holds its upper edge too."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    whole = bool(np.all(values == np.round(values)))
    if whole and high - low < BINS:
        edges = np.arange(low - 0.5, high + 1)
    elif low == high:
        edges = np.array([low, np.nextafter(high, np.inf)])
    else:
        edges = np.linspace(low, high, BINS + 1)
    counts, edges = np.histogram(values, edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _top(values: Sequence[Any]) -> dict[str, Any]:
    """The most frequent values with their counts, and how many others there are."""
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:TOP]
    top = [{"value": _shown(value), "count": count} for value, count in ordered]
    return {"top": top, "others": len(values) - sum(count for _, count in ordered)}


def _shown(value: Any) -> Any:
    return value.decode("utf-8", "replace")[:200] if isinstance(value, bytes) else value


class _Side:
    """A column as one side of a relation: numbers, or the numbers of categories.

    Attributes:
        values: float64 or int64 [rows].
        present: bool [rows].
        categories: how many there are; None for numbers.
    """

    def __init__(self, values: Array, present: Array, categories: int | None) -> None:
        self.values, self.present, self.categories = values, present, categories

    @classmethod
    def of(cls, table: Table, name: str, rows: Array) -> _Side | None:
        """None for a column of lists or vectors."""
        column = table.column(name)
        if isinstance(column, SequenceColumn):
            return None
        values, present = _cells(column, rows)
        if values.ndim != 1:
            return None
        if values.dtype != object and not table.info(name).get("boolean"):
            numbers = values.astype(np.float64)
            return cls(numbers, present & np.isfinite(numbers), None)
        ranks: dict[Any, int] = {}
        counted = _counted(values[present].tolist())
        for value in counted[: _CATEGORIES - 1]:
            ranks[value] = len(ranks)
        codes = np.array([ranks.get(value, len(ranks)) for value in values.tolist()], np.int64)
        return cls(codes, present, len(ranks) + 1)


def _counted(values: Sequence[Any]) -> list[Any]:
    """Different values, the most frequent first."""
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return sorted(counts, key=lambda value: -counts[value])


def strength(one: _Side | None, other: _Side | None) -> dict[str, Any] | None:
    """How strongly two columns go together, over the rows in which neither is null: `pearson` (-1 to 1) of two columns
    of numbers, `correlation_ratio` (0 to 1) of categories and numbers, `cramers_v` (0 to 1) of two columns of
    categories. None where it is not defined: a side without variation, or of lists."""
    if one is None or other is None:
        return None
    both = one.present & other.present
    a, b = one.values[both], other.values[both]
    if len(a) < 2 or np.all(a == a[0]) or np.all(b == b[0]):
        return None
    if one.categories is None and other.categories is None:
        kind, value = "pearson", float(np.corrcoef(a, b)[0, 1])
    elif one.categories is not None and other.categories is not None:
        kind, value = "cramers_v", _cramers_v(a, b)
    else:
        groups, numbers = (a, b) if one.categories is not None else (b, a)
        kind, value = "correlation_ratio", _correlation_ratio(groups, numbers)
    return {"kind": kind, "value": value, "rows": len(a)} if np.isfinite(value) else None


def _correlation_ratio(groups: Array, numbers: Array) -> float:
    """Square root of the share of the numbers' variance that lies between the groups."""
    numbers = numbers - numbers.mean()
    counts = np.bincount(groups)
    sums = np.bincount(groups, weights=numbers)
    between = float(np.sum(sums[counts > 0] ** 2 / counts[counts > 0]))
    return float(np.sqrt(min(between / float(np.sum(numbers**2)), 1.0)))


def _cramers_v(a: Array, b: Array) -> float:
    """From the chi-squared statistic of the contingency table, without correction."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    shape = int(a.max()) + 1, int(b.max()) + 1
    table = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / len(a)
    chi_squared = float(np.sum((table - expected) ** 2 / expected))
    return float(np.sqrt(chi_squared / len(a) / (min(shape) - 1)))
