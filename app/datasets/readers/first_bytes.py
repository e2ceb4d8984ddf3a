"""The first bytes of text cells: what most cells are not shows there, without a look at the rest of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

_FEW = 0.1


def first_bytes(cells: pa.Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """uint8 [n]; 0 where the text is empty. The array is large_string."""
    _, offsets, data = cells.buffers()
    if data is None or not data.size:
        return np.zeros(len(cells), np.uint8)
    starts = np.frombuffer(offsets, np.int64)[cells.offset : cells.offset + len(cells) + 1]
    first = np.frombuffer(data, np.uint8).take(starts[:-1], mode="clip")
    first[starts[1:] == starts[:-1]] = 0
    return first


def matches(cells: pa.Array, may_begin: bytes, match: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """As `match(cells)`, which is given only the cells that begin with one of some bytes, if those are few.

    Args:
        cells: large_string.
        may_begin: first bytes of all texts that match.
        match: bool, or null where a cell is null, for each of the cells it is given.
    """
    begins = np.zeros(256, np.bool_)
    begins[list(may_begin)] = True
    may = begins[first_bytes(cells)]
    if may.sum() > _FEW * len(may):
        return match(cells)
    rows = np.flatnonzero(may)
    if len(rows):
        may[rows] = match(cells.take(pa.array(rows))).fill_null(False).to_numpy(zero_copy_only=False)
    return pa.array(may, mask=cells.is_null().to_numpy(zero_copy_only=False))
