"""Numbers that stand anywhere in a buffer."""

from __future__ import annotations

from typing import Any

import numpy as np


def numbers_at(
    buffer: bytes | np.ndarray[Any, np.dtype[np.uint8]], places: np.ndarray[Any, np.dtype[np.int64]], dtype: str
) -> np.ndarray[Any, Any]:
    """The numbers that begin at these bytes of the buffer, in one go each instead of byte by byte.

    Args:
        buffer: has all bytes of each number.
        places: int64 [n].
        dtype: with its byte order, "<u4" for example.
    """
    kind = np.dtype(dtype)
    if not len(places):
        return np.zeros(0, kind)
    every: np.ndarray[Any, Any] = np.ndarray((len(buffer) - kind.itemsize + 1,), kind, buffer, strides=(1,))
    found: np.ndarray[Any, Any] = every[places]
    return found
