"""Row order: a permutation per epoch, a function of seed and epoch alone."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Rows whose order is drawn at once and kept. That of more rows is computed where it is asked for, and takes no memory.
KEPT_ROWS = 1 << 24

#: Rounds of the network that computes it. Four make a permutation that cannot be distinguished from a random one (Luby
#: and Rackoff, 1988) if the round function cannot be; two more, for it is only a mixing function.
_ROUNDS = 6

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
            parts.append(self._part(epoch, offset, taken))
            start += taken
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def _part(self, epoch: int, offset: int, count: int) -> Any:
        """The rows at `offset` to `offset + count` of an epoch."""
        dtype = np.int32 if self.rows <= 2**31 else np.int64
        if self._seed is None:
            return np.arange(offset, offset + count, dtype=dtype)
        if self.rows > KEPT_ROWS:
            return permuted(np.arange(offset, offset + count, dtype=np.uint64), self.rows, self._seed, epoch).astype(
                dtype
            )
        if self._epoch[0] != epoch:
            self._epoch = (epoch, _random(self._seed, epoch).permutation(np.arange(self.rows, dtype=dtype)))
        return self._epoch[1][offset : offset + count]


def permuted(positions: Any, rows: int, seed: int, epoch: int) -> Any:
    """Where a permutation of `rows` rows, a function of seed and epoch, puts some positions: uint64 of their shape.

    A Feistel network permutes the numbers of as many bits as `rows` needs; a number that is no row goes through it
    again until it is one (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002: cycle walking), on the
    average less than once more.
    """
    bits = max((rows - 1).bit_length(), 2)
    low = np.uint64(bits // 2)
    masks = np.uint64((1 << bits // 2) - 1), np.uint64((1 << (bits - bits // 2)) - 1)
    keys = _random(seed, epoch, 2).integers(0, 2**64, _ROUNDS, np.uint64)
    found = _network(positions, keys, low, masks)
    while (outside := np.flatnonzero(found >= np.uint64(rows))).size:
        found[outside] = _network(found[outside], keys, low, masks)
    return found


def _network(values: Any, keys: Any, low: np.uint64, masks: tuple[np.uint64, np.uint64]) -> Any:
    """Each round adds to one half of the bits what the other half mixes to; so each can be undone."""
    small, large = values & masks[0], values >> low
    for number, key in enumerate(keys):
        if number % 2:
            small ^= _mixed(large + key) & masks[0]
        else:
            large ^= _mixed(small + key) & masks[1]
    return small | large << low


def _mixed(values: Any) -> Any:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014)."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _random(seed: int, number: int, stream: int = 0) -> np.random.Generator:
    key = np.array([seed % 2**64, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))
