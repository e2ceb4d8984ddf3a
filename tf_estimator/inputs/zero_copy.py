"""Arrays that become tensors without a copy.

`tf.constant` of an array copies it twice and keeps one copy in a cache: measured with 400 MB, 1.9 s and 800 MB more at
its peak. A tensor over the array's own memory is there at once; TensorFlow needs it aligned, and aborts where it isn't.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import tensorflow as tf

#: What TensorFlow's kernels ask of a tensor's address, in bytes.
_ALIGNMENT = 64


def shareable(dtype: Any) -> bool:
    """Whether numpy and TensorFlow write such numbers the same way."""
    return dtype.kind in "iuf" and dtype.isnative


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array like `numpy.empty` gives, aligned for `as_tensor`."""
    dtype = np.dtype(dtype)
    if not shareable(dtype):
        return np.empty(shape, dtype)
    return _placed(np.empty(_size(shape, dtype) + _ALIGNMENT, np.uint8), shape, dtype)


def _size(shape: tuple[int, ...], dtype: Any) -> int:
    return int(np.prod(shape, dtype=np.int64)) * int(dtype.itemsize)


def _placed(memory: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The array at the first place in `memory` that is aligned."""
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + _size(shape, dtype)].view(dtype).reshape(shape)


class ReusedMemory:
    """Memory for arrays of which one follows the other.

    New memory has to be cleared by the system page by page, which takes a fifth as long as filling it with rows does.
    The memory of an array is taken again once nothing refers to the array, tensors over it included.
    """

    def __init__(self) -> None:
        self._free: list[Any] = []

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array as `empty` gives it, in memory that was used before if there is enough."""
        dtype = np.dtype(dtype)
        if not shareable(dtype):
            return np.empty(shape, dtype)
        wanted = _size(shape, dtype) + _ALIGNMENT
        fitting = [i for i, memory in enumerate(self._free) if memory.nbytes >= wanted]
        if fitting:
            memory = self._free.pop(min(fitting, key=lambda i: self._free[i].nbytes))
        else:
            self._free.clear()  # what is too small now would only be held besides
            memory = np.empty(wanted, np.uint8)
        made = _placed(memory, shape, dtype)
        weakref.finalize(made, self._free.append, memory).atexit = False
        return made

    def close(self) -> None:
        """Lets go of what is not in use."""
        self._free = []


def copied(array: Any) -> Any:
    """A copy of `array`, made by `empty`."""
    array = np.asarray(array)
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


def as_tensor(array: Any) -> tf.Tensor:
    """A tensor on the CPU of an array that is not written any more; of one made by `empty`, without a copy."""
    with tf.device("CPU"):
        if not shareable(array.dtype) or not array.size or array.ctypes.data % _ALIGNMENT:
            return tf.constant(array)
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
