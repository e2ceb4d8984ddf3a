"""`SequenceFeatures`: sequence columns side by side, and context beside every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from workers.estimator.feature_column.dense import layer_scope
from workers.estimator.feature_column.state import ColumnState, FeatureCache, create_column_states, prepared_columns

v1 = tf.compat.v1


class SequenceFeatures:
    """A layer from a dict of sparse features to one tensor `[batch, time, width]` and the lengths `[batch]`.

    Args:
        feature_columns: sequence columns, or dense columns made of sequence columns.
        trainable: whether optimizers may change its variables.
        name: scope of the variables; `sequence_features` if None, counted up when taken.

    Raises:
        ValueError: a column that is not for sequences, or two of one name.
    """

    def __init__(self, feature_columns: Any, trainable: bool = True, name: str | None = None) -> None:
        self._columns = feature_columns
        self._prepared(feature_columns)
        self._trainable = trainable
        self._name = name
        self._graph: Any = None
        self._state = ColumnState("")
        self._sorted: list[Any] = []

    @property
    def name(self) -> str:
        return self._name or "sequence_features"

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables of the last call's graph."""
        return list(self._state.variables)

    def __call__(self, features: Mapping[str, Any], training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Adds the ops to the current graph; see the class.

        Raises:
            KeyError: a column's feature is missing (the error is a ValueError too).
            InvalidArgumentError: at run time, when two columns' sequences have different lengths.
        """
        self._enter_graph()
        cache = FeatureCache(features)
        parts, lengths = [], []
        for column in self._sorted:
            sequence = column.get_sequence_dense_tensor(cache, self._state)
            width = column.variable_shape.num_elements()
            shape = tf.shape(sequence.dense_tensor)
            parts.append(tf.reshape(sequence.dense_tensor, [shape[0], shape[1], width]))
            lengths.append(sequence.sequence_length)
        same = [_assert_same(lengths[0], other) for other in lengths[1:]]
        with tf.control_dependencies(same):
            length = tf.identity(lengths[0])
        return (parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)), length

    @staticmethod
    def _prepared(columns: Any) -> list[Any]:
        kind = "a sequence column, or a dense column made of one (tf.feature_column.sequence_*)"
        return prepared_columns(columns, kind, ["get_sequence_dense_tensor"])

    def _enter_graph(self) -> None:
        graph = v1.get_default_graph()
        if self._graph is graph:
            return
        self._graph = graph
        self._state = ColumnState(layer_scope(self._name, "sequence_features"), self._trainable)
        self._sorted = self._prepared(self._columns)
        create_column_states(self._sorted, self._state)


def _assert_same(first: Any, other: Any) -> Any:
    return tf.raw_ops.Assert(
        condition=tf.reduce_all(tf.equal(first, other)),
        data=["The sequence columns have different lengths in one row:", first, other],
        summarize=8,
    )


def concatenate_context(context: Any, sequence: Any) -> tf.Tensor:
    """`context` `[batch, c]` beside every step of `sequence` `[batch, time, s]`: `[batch, time, s + c]`."""
    steps = tf.shape(sequence)[1]
    repeated = tf.tile(tf.expand_dims(context, 1), [1, steps, 1])
    return tf.concat([sequence, repeated], axis=2)
