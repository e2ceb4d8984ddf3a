"""Statistics of a column, gathered in one pass over its chunks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from app.datasets.writers.memory_budget import MemoryBudget

DISTINCT_CAP = 10_000
"""Up to so many different numbers are counted exactly; beyond, `distinct` is null."""

_BYTES_A_VALUE = 100
"""More than a different number takes; data sets that are stored would have others counted if it were less."""
_FEW = 1000
_EXACT = 2**53
_BELOW = float(2**63 - 1024)  # the largest float64 that is an int64

VOCABULARY_CAP = 1_000
"""A column with more different strings has no `vocabulary`."""


class NumberStatistics:
    """Count, extremes, mean and standard deviation (population, divisor n) in float64, and distinct values.

    Chunks are merged by the parallel formula of Chan, Golub, LeVeque (1979), so that a large mean costs no digits.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._spent = 0
        self.count = 0
        self.minimum: float | int | None = None
        self.maximum: float | int | None = None
        self._mean = 0.0
        self._squares = 0.0  # sum of squared distances from the mean
        self._distinct: _Distinct | None = _Distinct()

    def add(self, values: np.ndarray[Any, Any]) -> None:
        """Takes a chunk of int64 or float64 values without nulls."""
        if not values.size:
            return
        low, high = values.min().item(), values.max().item()
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)
        mean = float(values.mean(dtype=np.float64))
        distances = values - mean
        squares = float(np.square(distances, out=distances).sum())
        total = self.count + values.size
        shift = mean - self._mean
        self._mean += shift * values.size / total
        self._squares += squares + shift * shift * self.count * values.size / total
        self.count = total
        if self._distinct is not None:
            self._distinct.add(values[: 2 * DISTINCT_CAP])
            if len(self._distinct) <= DISTINCT_CAP:
                self._distinct.add(values[2 * DISTINCT_CAP :])
            cost = len(self._distinct) * _BYTES_A_VALUE - self._spent
            self._spent += cost
            self._budget.left -= cost
            if len(self._distinct) > DISTINCT_CAP or self._budget.over:
                self._distinct = None
                self._budget.left += self._spent

    def info(self) -> dict[str, Any]:
        """`min max mean stddev distinct vocabulary` as the API shows them; null where there is no value."""
        known = self.count > 0
        return {
            "min": self.minimum,
            "max": self.maximum,
            "mean": self._mean if known else None,
            "stddev": math.sqrt(self._squares / self.count) if known else None,
            "distinct": len(self._distinct) if self._distinct is not None else None,
            "vocabulary": None,
        }


class _Distinct:
    """Different numbers; an integer and the equal float are the same, and so are 0.0 and -0.0."""

    def __init__(self) -> None:
        self._floats = np.zeros(0, np.float64)  # in order
        self._integers = np.zeros(0, np.int64)  # those that are no float64, in order

    def __len__(self) -> int:
        return len(self._floats) + len(self._integers)

    def add(self, values: np.ndarray[Any, Any]) -> None:
        """Takes int64 or float64 values."""
        if 0 < len(self) < _FEW:  # hashing is quicker than sorting, while there are few
            values = pa.array(values).unique().to_numpy(zero_copy_only=False)
        floats = values.astype(np.float64, copy=False)
        if values.dtype.kind == "i" and not -_EXACT <= values.min(initial=0) <= values.max(initial=0) <= _EXACT:
            # 2**63, which only such integers become, is no int64
            held = (floats < 2.0**63) & (floats.clip(max=_BELOW).astype(np.int64) == values)
            self._integers = _merged(self._integers, values[~held])
            floats = floats[held]
        self._floats = _merged(self._floats, floats)


def _merged(known: np.ndarray[Any, Any], more: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The different values of both in order; `known` has been made by this."""
    ordered = _different(np.sort(more))
    return _different(np.sort(np.concatenate([known, ordered]))) if len(known) else ordered


def _different(ordered: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def string_info(counts: dict[bytes, int] | None, distinct: int | None = None) -> dict[str, Any]:
    """The same keys for a column of strings.

    Args:
        counts: how often each string occurs; None when there were too many to count. Strings that are not UTF-8
            or hold a NUL (which PostgreSQL cannot store) cannot be shown; then there is no vocabulary.
        distinct: how many strings there are, where `counts` does not say it.
    """
    vocabulary = None
    if counts is not None and len(counts) <= VOCABULARY_CAP and not any(b"\0" in text for text in counts):
        ordered = sorted(counts, key=lambda text: (-counts[text], text))
        try:
            vocabulary = [text.decode("utf-8") for text in ordered]
        except UnicodeDecodeError:
            vocabulary = None
    return {
        "min": None,
        "max": None,
        "mean": None,
        "stddev": None,
        "distinct": len(counts) if counts is not None else distinct,
        "vocabulary": vocabulary,
    }
