"""Permutation importance: how much worse a model gets when one column's values are shuffled.

L. Breiman, Random Forests, Machine Learning 45 (2001) 5, section 10, for any model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 2_000
MOST_COLUMNS = 50
#: Rows of all shuffled copies together, which are predicted in one go.
MOST_PREDICTED = 100_000


class Shuffles:
    """The rows as they are, and once more for each column with that column shuffled, one block after the other.

    Args:
        columns: names of the columns; the first `MOST_COLUMNS` are shuffled.
        rows: how many rows there are.
        seed: of the sample and the shuffles.

    Attributes:
        sample: which of the rows are taken, ascending; at most `MOST_ROWS`, and no more than `MOST_PREDICTED` in all
            blocks together.
    """

    def __init__(self, columns: Sequence[str], rows: int, seed: int) -> None:
        self._shuffled = list(columns)[:MOST_COLUMNS]
        size = min(rows, MOST_ROWS, MOST_PREDICTED // (len(self._shuffled) + 1))
        random = np.random.default_rng(seed)
        self.sample: NDArray[np.int64] = np.sort(random.permutation(rows)[:size])
        self._orders = {name: random.permutation(size) for name in self._shuffled}

    def index(self, column: str) -> NDArray[np.int64]:
        """The row of each of all blocks' rows for one column, [blocks × sample]."""
        plain = [self.sample] * (len(self._shuffled) + 1)
        if column in self._orders:
            plain[1 + self._shuffled.index(column)] = self.sample[self._orders[column]]
        return np.concatenate(plain)

    @property
    def repeated(self) -> NDArray[np.int64]:
        """The row of each of all blocks' rows for what is not shuffled: labels and weights."""
        return np.tile(self.sample, len(self._shuffled) + 1)

    def importance(self, losses: NDArray[np.float64]) -> list[dict[str, Any]]:
        """The mean loss with a column shuffled minus the mean loss as it is: `{"column", "loss_increase"}`, the most
        important first.

        Args:
            losses: of all blocks' rows, in the order of `index`.
        """
        usual, *shuffled = losses.reshape(len(self._shuffled) + 1, -1).mean(axis=1).tolist()
        found = [
            {"column": name, "loss_increase": loss - usual} for name, loss in zip(self._shuffled, shuffled, strict=True)
        ]
        return sorted(found, key=lambda entry: (-entry["loss_increase"], entry["column"]))
