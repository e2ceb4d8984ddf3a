"""Columns that are more than an array: dictionary-encoded strings, and sequences of different lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Dictionary:
    """A string column as codes.

    Args:
        codes: integers, position in `vocabulary`; -1 stands for a missing value, given to the model as "".
        vocabulary: the strings (bytes or str).
    """

    codes: Any
    vocabulary: Any

    def __len__(self) -> int:
        return len(self.codes)

    def words(self) -> Any:
        """The vocabulary as an object array of bytes, "" last: where code -1 points."""
        words = [w.encode() if isinstance(w, str) else bytes(w) for w in np.asarray(self.vocabulary).tolist()]
        return np.array([*words, b""], dtype=object)


@dataclass(frozen=True)
class Sequence:
    """A column with a sequence per row; the model gets a SparseTensor `[batch, longest]`.

    Args:
        values: the elements of all rows after each other, an array or a `Dictionary`.
        row_splits: int64 `[rows + 1]`; row i is `values[row_splits[i]:row_splits[i + 1]]`.
    """

    values: Any
    row_splits: Any

    def __len__(self) -> int:
        return len(self.row_splits) - 1


def encode_strings(values: Any) -> Dictionary:
    """A `Dictionary` of an array of bytes, str or None (missing)."""
    flat = np.asarray(values, dtype=object).ravel()
    missing = np.array([v is None for v in flat.tolist()], dtype=bool)
    encoded = np.array(
        [b"" if v is None else v.encode() if isinstance(v, str) else bytes(v) for v in flat.tolist()], object
    )
    words, codes = np.unique(encoded, return_inverse=True)
    codes = np.where(missing, -1, codes.ravel()).astype(np.int32)
    return Dictionary(codes.reshape(np.shape(values)), words)


def is_string(array: Any) -> bool:
    return getattr(array, "dtype", np.dtype(object)).kind in "OSU"
