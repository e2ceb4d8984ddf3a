"""The order in which rows come: a permutation per epoch, a function of seed and epoch alone."""

from __future__ import annotations

from typing import Any

import numpy as np


class Order:
    """Positions of an endless or finite stream of epochs over `rows` rows.

    Args:
        rows: rows of an epoch.
        epochs: how many; None for ever.
        seed: of the permutations; None for the rows' own order.
    """

    def __init__(self, rows: int, epochs: int | None, seed: int | None) -> None:
        self.rows = rows
        self.length = None if epochs is None else rows * epochs
        self._seed = seed
        self._epoch: tuple[int, Any] = (-1, None)

    def slice(self, start: int, count: int) -> Any:
        """int32 row numbers of the stream's positions `start` to `start + count` (fewer at its end)."""
        stop = start + count if self.length is None else min(start + count, self.length)
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self.rows)
            taken = min(self.rows - offset, stop - start)
            parts.append(self._permutation(epoch)[offset : offset + taken])
            start += taken
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def _permutation(self, epoch: int) -> Any:
        if self._seed is None:
            epoch = 0
        if self._epoch[0] != epoch:
            if self._seed is None:
                rows = np.arange(self.rows, dtype=np.int32)
            else:
                key = np.array([self._seed % 2**64, epoch], dtype=np.uint64)
                rows = np.random.Generator(np.random.Philox(key=key)).permutation(np.arange(self.rows, dtype=np.int32))
            self._epoch = (epoch, rows)
        return self._epoch[1]
