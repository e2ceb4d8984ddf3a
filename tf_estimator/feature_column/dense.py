"""`DenseInput`: dense columns side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import tensorflow as tf

from ..errors import InputShapeError
from ..model_fn import plain_shapes
from .column_state import ColumnState, FeatureCache
from .layer import ColumnLayer
from .single_ids import embed_rows
from .standardize import Standardize


class DenseInput(ColumnLayer):
    """First layer of the networks here: from a dict of features to one float tensor
    `[batch, width]`, columns in the order of their names.

    Its variables are `<name>/<column>/<variable>`. Called again in one graph, it uses them again.

    Args:
        feature_columns: dense columns of `tf.feature_column`, one or several.
        trainable: whether optimizers may change its variables.
        name: scope of the variables; `dense_features` if None, counted up when taken.
        partitioner: of the variables, a `tf.compat.v1` partitioner.

    Raises:
        ValueError: a column that is not dense, or two of one name.
    """

    _default_name = "dense_features"
    _kind = "a DenseColumn. You can wrap a categorical column with an embedding_column or indicator_column"
    _methods = ["get_dense_tensor"]

    @property
    def variables(self) -> list[Any]:
        """All variables of the last call's graph."""
        return self._state.all_variables()

    def renamed(self, name: str) -> DenseInput:
        """The same columns under another scope."""
        return DenseInput(self._columns, self._trainable, name, self._partitioner)

    @plain_shapes
    def __call__(self, features: Mapping[str, Any], training: bool | None = None) -> tf.Tensor:
        """Adds the ops to the current graph.

        Args:
            features: dict of dense or sparse tensors.
            training: not used; there for code that passes it.

        Raises:
            KeyError: a column's feature is missing (the error is a ValueError too).
        """
        self._enter_graph()
        return dense_input(self._sorted, FeatureCache(features), self._state)


def dense_input(columns: list[Any], cache: FeatureCache, state: ColumnState) -> tf.Tensor:
    """The columns' dense tensors side by side, float32 `[batch, width]`."""
    parts: list[Any] = []
    for scalar, group in groupby(columns, key=lambda column: is_scalar(column, cache)):
        if scalar:
            parts.append(stack_scalars(list(group), cache))
        else:
            parts.extend(_flat(column, cache, state) for column in group)
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def _flat(column: Any, cache: FeatureCache, state: ColumnState) -> tf.Tensor:
    check_numeric(column, cache)
    tensor = embed_rows(column, cache, state)
    if tensor is None:
        tensor = column.get_dense_tensor(cache, state)
    width = column.variable_shape.num_elements()
    if tensor.shape.rank == 2 and tensor.shape[-1] == width:
        return tensor
    return tf.reshape(tensor, [-1, width])


def check_numeric(column: Any, cache: FeatureCache) -> None:
    """Compares a numeric column with its feature; other columns check theirs by themselves.

    Raises:
        InputShapeError: strings, or rows of another number of values than the column's shape has.
    """
    if type(column).__name__ != "NumericColumn":
        return
    given = cache.plain(column.key)
    if not isinstance(given, tf.Tensor) or given.shape.rank is None:
        return
    row = given.shape[1:]
    wanted = tuple(column.shape)
    if given.dtype == tf.string:
        raise InputShapeError(f"Feature {column.key!r} holds strings; numeric_column({column.key!r}) needs numbers.")
    if row.is_fully_defined() and row.num_elements() != math.prod(wanted):
        raise InputShapeError(
            f"Feature {column.key!r} has shape {tuple(row)} per row, numeric_column({column.key!r}) expects {wanted}. "
            "Give the column the shape of the data, or let input_fn return rows of the column's shape."
        )


def is_scalar(column: Any, cache: FeatureCache) -> bool:
    """Whether the column is one plain number per row, which can be stacked with others in one operation."""
    if type(column).__name__ != "NumericColumn" or column.shape != (1,):
        return False
    if column.normalizer_fn is not None and not isinstance(column.normalizer_fn, Standardize):
        return False
    given = cache.plain(column.key)
    return isinstance(given, tf.Tensor) and given.shape.rank == 1 and given.dtype != tf.string


def stack_scalars(columns: list[Any], cache: FeatureCache) -> tf.Tensor:
    """Scalar columns side by side, normalized, float32 `[batch, n]`: one operation instead of several for each."""
    stacked = tf.stack([tf.cast(cache.plain(column.key), tf.float32) for column in columns], axis=1)
    scales = [column.normalizer_fn or Standardize(0.0, 1.0) for column in columns]
    if all(scale == Standardize(0.0, 1.0) for scale in scales):
        return stacked
    means = tf.constant([scale.mean for scale in scales], tf.float32)
    return (stacked - means) / tf.constant([scale.stddev for scale in scales], tf.float32)
