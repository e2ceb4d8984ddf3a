"""The order in which rows come: a permutation per epoch, a function of seed and epoch alone."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Batches among which rows are exchanged, when batches hold rows of similar length.
GROUPED_BATCHES = 50


class Order:
    """Positions of an endless or finite stream of epochs over `rows` rows.

    Args:
        rows: rows of an epoch.
        epochs: how many; None for ever.
        seed: of the permutations; None for the rows' own order.
        lengths: of the rows' sequences, if batches are to hold rows of similar length.
        batch: rows per batch; used with `lengths`.
    """

    def __init__(self, rows: int, epochs: int | None, seed: int | None, lengths: Any = None, batch: int = 1) -> None:
        self.rows = rows
        self.length = None if epochs is None else rows * epochs
        self._seed = seed
        self._lengths = lengths
        self._batch = batch
        self._epoch: tuple[int, Any] = (-1, None)

    def slice(self, start: int, count: int) -> Any:
        """int32 row numbers of the stream's positions `start` to `start + count` (fewer at its end)."""
        if self._lengths is None:
            return self._plain(start, count)
        size = self._batch * GROUPED_BATCHES
        first, last = start // size, -(-(start + count) // size)
        groups = [self._grouped(self._plain(group * size, size), group) for group in range(first, last)]
        begin = start - first * size
        return np.concatenate(groups)[begin : begin + count] if groups else np.empty(0, np.int32)

    def _grouped(self, rows: Any, group: int) -> Any:
        """The same rows in batches of similar length, the batches in an order of their own."""
        rows = rows[np.argsort(self._lengths[rows], kind="stable")]
        full = len(rows) // self._batch
        order = np.arange(full)
        if self._seed is not None:
            order = _random(self._seed, group, 1).permutation(order)
        batches = rows[: full * self._batch].reshape(full, self._batch)[order]
        return np.concatenate([batches.ravel(), rows[full * self._batch :]])

    def _plain(self, start: int, count: int) -> Any:
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
                rows = _random(self._seed, epoch).permutation(np.arange(self.rows, dtype=np.int32))
            self._epoch = (epoch, rows)
        return self._epoch[1]


def _random(seed: int, number: int, stream: int = 0) -> np.random.Generator:
    key = np.array([seed % 2**64, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))
