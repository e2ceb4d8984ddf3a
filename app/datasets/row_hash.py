"""Row digests, and the train/holdout split that follows from them.

A row's digest depends on nothing but the names and values of its cells that are not null: not on its place, its
neighbours or the order of the columns. So a split by digest stays the same when the data set grows (by rows, or by
columns that are null in the old rows), and equal rows always go to the same side. The digest decides sides; it does
not identify a row, and 64 bits of a fast mixing function are enough for that.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_UInts = np.ndarray[Any, np.dtype[np.uint64]]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(values: _UInts) -> _UInts:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014) over an array of uint64; a bijection."""
    return _mixed(np.array(values))


def _mixed(values: _UInts) -> _UInts:
    """The same array, mixed in place, for making arrays takes as long as computing them."""
    values += _GOLDEN
    shifted = values >> np.uint64(30)
    values ^= shifted
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= np.right_shift(values, np.uint64(27), out=shifted)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= np.right_shift(values, np.uint64(31), out=shifted)
    return values


def digest_numbers(values: np.ndarray[Any, Any]) -> _UInts:
    """One digest a number, the same for an integer and the equal float, for -0.0 and 0.0."""
    return _mixed(np.add(values, 0.0, dtype=np.float64).view(np.uint64))


def digest_strings(values: Sequence[bytes], lengths: np.ndarray[Any, Any] | None = None) -> _UInts:
    """One digest a byte string; `lengths` are the strings', where they are known."""
    checks = np.fromiter(map(zlib.crc32, values), np.uint64, len(values))
    if lengths is None:
        lengths = np.fromiter(map(len, values), np.uint64, len(values))
    return digest_checks(checks, lengths)


def digest_checks(checks: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> _UInts:
    """As `digest_strings`, of strings of which the CRC-32 is known."""
    digests = lengths.astype(np.uint64)
    digests <<= np.uint64(32)
    digests ^= checks
    return _mixed(digests)


def digest_lists(elements: _UInts, row_splits: np.ndarray[Any, Any]) -> _UInts:
    """One digest a list, from its elements' digests and their places; the empty list gives 0.

    Args:
        elements: uint64 [n], digests of all elements, list after list.
        row_splits: int64 [rows + 1], where each list starts and ends.
    """
    places = np.arange(len(elements)) - np.repeat(row_splits[:-1], np.diff(row_splits))
    sums = np.zeros(len(elements) + 1, np.uint64)
    np.cumsum(mix(elements ^ mix(places.astype(np.uint64))), out=sums[1:])  # wraps around, and so does the difference
    ends: _UInts = sums[row_splits[1:]]
    ends -= sums[row_splits[:-1]]
    return ends


def digest_column(name: str, cells: _UInts, present: np.ndarray[Any, Any] | None = None) -> _UInts:
    """What one column adds (modulo 2**64) to its rows' digests: nothing where the cell is not `present` (None: it is
    in every row)."""
    mixed = _mixed(cells ^ _salt(name))
    return mixed if present is None else np.where(present, mixed, np.uint64(0))


@functools.lru_cache(maxsize=1024)
def _salt(name: str) -> np.uint64:
    salt: np.uint64 = digest_strings([name.encode("utf-8")])[0]
    return salt


def holdout_mask(digests: _UInts, holdout: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows belong to the holdout: those whose mixed digest lies in the lowest `holdout` share of 2**64."""
    if holdout >= 1.0:
        return np.ones(len(digests), np.bool_)
    return mix(np.asarray(digests)) < np.uint64(int(holdout * 2.0**64))
