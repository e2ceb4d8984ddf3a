"""The input functions of TensorFlow 1 for arrays and data frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from .columns_input import ColumnsInput, columns_input_fn

v1 = tf.compat.v1


class ArraysInput(ColumnsInput):
    """What the input functions of TensorFlow 1 return: called inside of another input function it gives tensors."""

    def __init__(self, columns: ColumnsInput) -> None:
        vars(self).update(vars(columns))

    def __call__(self) -> Any:
        """Features, or features and labels, as tensors of the current graph; outside of graphs a `tf.data.Dataset`."""
        dataset = super().__call__()
        if tf.executing_eagerly():
            return dataset
        iterator = v1.data.make_initializable_iterator(dataset)
        v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
        return iterator.get_next()


def numpy_input_fn(
    x: Any,
    y: Any = None,
    batch_size: int = 128,
    num_epochs: int | None = 1,
    shuffle: bool | None = None,
    queue_capacity: int = 1000,
    num_threads: int = 1,
) -> ArraysInput:
    """An `input_fn` of arrays.

    Args:
        x: an array, or a dict of arrays: the features, rows first.
        y: an array or a dict of arrays: the labels; None for none.
        batch_size: rows per batch.
        num_epochs: how often the rows come; None for ever.
        shuffle: whether each epoch has an order of its own; must be given.
        queue_capacity: not used: there is no queue, all rows are shuffled.
        num_threads: not used, for the same reason.

    Raises:
        ValueError: `shuffle` is not given, there are no features or labels of length zero, or lengths that differ.
        TypeError: `x` is neither an array nor a dict.
    """
    if not isinstance(shuffle, bool | np.bool_):
        raise ValueError(
            "shuffle must be provided and explicitly set as boolean (it is recommended as True for training)."
        )
    if not isinstance(x, Mapping | np.ndarray):
        raise TypeError(f"x must be a dict or array; got {type(x).__name__}.")
    if y is not None and len(y) == 0:
        raise ValueError("y cannot be empty; pass None for no labels.")
    features = {key: np.asarray(value) for key, value in x.items()} if isinstance(x, Mapping) else x
    labels = {key: np.asarray(value) for key, value in y.items()} if isinstance(y, Mapping) else y
    return ArraysInput(
        columns_input_fn(features, labels, batch_size=batch_size, num_epochs=num_epochs, shuffle=bool(shuffle))
    )


def pandas_input_fn(
    x: Any,
    y: Any = None,
    batch_size: int = 128,
    num_epochs: int | None = 1,
    shuffle: bool | None = None,
    queue_capacity: int = 1000,
    num_threads: int = 1,
    target_column: str = "target",
) -> ArraysInput:
    """An `input_fn` of a pandas `DataFrame`; each column is a feature of rank 1.

    Args:
        x: the features, a `DataFrame`.
        y: the labels: a `Series` (then a tensor), a `DataFrame` (then a dict of its columns), or None.
        batch_size, num_epochs, shuffle, queue_capacity, num_threads: as in `numpy_input_fn`.
        target_column: must not be a column of `x` when `y` is a `Series`.

    Raises:
        ValueError: `shuffle` is not given, `target_column` is a column of `x`, or the index of `y` is not that of `x`.
        TypeError: `x` is no data frame.
    """
    if not hasattr(x, "columns"):
        raise TypeError(f"x must be a pandas DataFrame; got {type(x).__name__}.")
    if y is not None and not np.array_equal(x.index, y.index):
        raise ValueError("Index for x and y are mismatched; give both the same one, y.reindex(x.index) for example.")
    if y is not None and not hasattr(y, "columns") and target_column in x.columns:
        raise ValueError(f"The target column {target_column!r} is a column of x; pass another target_column.")
    labels = None if y is None else _columns_of(y) if hasattr(y, "columns") else np.asarray(y)
    return numpy_input_fn(_columns_of(x), labels, batch_size, num_epochs, shuffle)


def _columns_of(frame: Any) -> dict[str, np.ndarray]:
    return {str(name): np.asarray(frame[name]) for name in frame.columns}
