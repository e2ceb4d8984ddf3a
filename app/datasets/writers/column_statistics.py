"""Statistics of a column, gathered in one pass over its chunks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from app.datasets.writers.memory_budget import MemoryBudget

DISTINCT_CAP = 10_000
"""Up to so many different numbers are counted exactly; beyond, `distinct` is null."""

_BYTES_A_VALUE = 100  # in a Python set
_FEW = 1000

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
        self._distinct: set[float | int] | None = set()

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
            self._add_distinct(values[: 2 * DISTINCT_CAP])
            if len(self._distinct) <= DISTINCT_CAP:
                self._add_distinct(values[2 * DISTINCT_CAP :])
            cost = len(self._distinct) * _BYTES_A_VALUE - self._spent
            self._spent += cost
            self._budget.left -= cost
            if len(self._distinct) > DISTINCT_CAP or self._budget.over:
                self._distinct = None
                self._budget.left += self._spent

    def _add_distinct(self, values: np.ndarray[Any, Any]) -> None:
        """Takes the distinct ones of some values (0.0 and -0.0 are the same)."""
        assert self._distinct is not None
        if 0 < len(self._distinct) < _FEW:  # hashing them is quicker than sorting, while they are few
            different = pa.array(values).unique().to_numpy(zero_copy_only=False)
        else:
            ordered = np.sort(values)
            different = ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered
        self._distinct.update(different[: DISTINCT_CAP + 1].tolist())

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
