"""Quality per slice of the rows: by value of a column of text, by range of a column of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Slices per column: the most frequent values, or ranges with about equally many rows each.
MOST_VALUES = 10
RANGES = 5
#: 95 % intervals.
_Z = 1.959963984540054
REST = "(all others)"
MISSING = "(missing)"


def by_column(columns: Mapping[str, NDArray[Any]], values: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The mean of `values` and its 95 % interval in every slice.

    Args:
        columns: name → the column, [n]: numbers (missing ones are NaN), or objects (`str`; missing ones are None).
        values: what is averaged, float64 [n]: 1.0 and 0.0 for right and wrong, or an absolute error.

    Returns:
        One entry per column with more than one slice, those whose slices differ most first:
        `{"column", "spread", "slices": [{"slice", "rows", "value", "low", "high"}]}`.
    """
    share = bool(np.isin(values, (0.0, 1.0)).all())
    interval = wilson if share else normal
    found = []
    for name, column in columns.items():
        slices: list[dict[str, Any]] = []
        for label, chosen in _slices(column):
            part = values[chosen]
            low, high = interval(part)
            slices.append({"slice": label, "rows": len(part), "value": float(part.mean()), "low": low, "high": high})
        if len(slices) > 1:
            means = [entry["value"] for entry in slices]
            found.append({"column": name, "spread": max(means) - min(means), "slices": slices})
    return sorted(found, key=lambda entry: (-entry["spread"], entry["column"]))


def wilson(hits: NDArray[np.float64]) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share. E. B. Wilson, JASA 22 (1927) 209."""
    rows, share = len(hits), float(hits.mean())
    centre = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z / (1 + _Z**2 / rows) * float(np.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2)))
    return max(0.0, centre - half), min(1.0, centre + half)


def normal(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """The 95 % interval of a mean by the central limit theorem; null for a single row."""
    if len(values) < 2:
        return None, None
    half = _Z * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def _slices(column: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if column.dtype.kind in "OSU":
        yield from _values(column)
    elif column.dtype.kind == "b" or len(np.unique(column[:10_000])) <= MOST_VALUES:
        yield from _values(_written(column))
    else:
        yield from _ranges(column.astype(np.float64))


def _written(column: NDArray[Any]) -> NDArray[Any]:
    """Few distinct numbers as text; whole ones without a fraction."""
    return np.array([None if np.isnan(value) else f"{value:g}" for value in column.astype(np.float64)], dtype=object)


def _values(column: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    missing = np.array([value is None for value in column], dtype=bool)
    names, codes, rows = np.unique(column[~missing].astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(-rows, kind="stable")
    everywhere = np.full(len(column), -1)
    everywhere[~missing] = codes
    for number in order[:MOST_VALUES]:
        yield str(names[number]), everywhere == number
    if len(order) > MOST_VALUES:
        yield REST, np.isin(everywhere, order[MOST_VALUES:])
    if missing.any():
        yield MISSING, missing


def _ranges(column: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    missing = np.isnan(column)
    edges = np.unique(np.quantile(column[~missing], np.linspace(0, 1, RANGES + 1)))
    places = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, max(len(edges) - 2, 0))
    for number in range(max(len(edges) - 1, 1)):
        chosen = ~missing & (places == number)
        if chosen.any():
            yield f"{edges[number]:.4g} to {edges[min(number + 1, len(edges) - 1)]:.4g}", chosen
    if missing.any():
        yield MISSING, missing
