"""Permutation importance: how much worse a model gets when one column's values are shuffled.

L. Breiman, Random Forests, Machine Learning 45 (2001) 5, section 10, for any model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 2_000
MOST_COLUMNS = 50


def permutation_importance(
    columns: Mapping[str, Any],
    losses: Callable[[Mapping[str, Any]], NDArray[np.float64]],
    take: Callable[[Any, NDArray[np.int64]], Any],
    rows: int,
    *,
    seed: int,
    stop: Callable[[], bool] = lambda: False,
) -> list[dict[str, Any]]:
    """The mean loss with a column shuffled, minus the mean loss as it is.

    Args:
        columns: the model's features over the same rows; at most `MOST_COLUMNS` of them are shuffled, in their order.
        losses: the loss of each row for such features, [rows].
        take: a column's rows by index.
        rows: how many rows the columns have; at least 2.
        seed: of the shuffles.
        stop: asked before each column; true ends early with the columns done so far.

    Returns:
        `{"column", "loss_increase"}`, the most important first.
    """
    usual = float(np.mean(losses(columns)))
    found = []
    names: Sequence[str] = list(columns)[:MOST_COLUMNS]
    for number, name in enumerate(names):
        if stop():
            break
        order = np.random.default_rng([seed, number]).permutation(rows)
        shuffled = {**columns, name: take(columns[name], order)}
        found.append({"column": name, "loss_increase": float(np.mean(losses(shuffled))) - usual})
    return sorted(found, key=lambda entry: (-entry["loss_increase"], entry["column"]))
