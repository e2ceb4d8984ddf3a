"""`SequenceFeatures`: sequence columns side by side, and context beside every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from workers.estimator.feature_column.dense import layer_scope
from workers.estimator.feature_column.single_ids import embed_steps
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
        return self._sequences(features, time_major=False)

    def time_major(self, features: Mapping[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        """The same as `[time, batch, width]`, as recurrent layers take it, and the lengths `[batch]`.

        Raises:
            KeyError, InvalidArgumentError: as `__call__`.
        """
        return self._sequences(features, time_major=True)

    def _sequences(self, features: Mapping[str, Any], *, time_major: bool) -> tuple[tf.Tensor, tf.Tensor]:
        self._enter_graph()
        cache = FeatureCache(features)
        parts, lengths = [], []
        for column in self._sorted:
            made = embed_steps(column, cache, self._state, time_major=time_major)
            sequence, length = made or _any_sequence(column, cache, self._state, time_major)
            parts.append(sequence)
            lengths.append(length)
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


def _any_sequence(
    column: Any, cache: FeatureCache, state: ColumnState, time_major: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """What the column itself makes of its sequence."""
    made = column.get_sequence_dense_tensor(cache, state)
    shape = tf.shape(made.dense_tensor)
    sequence = tf.reshape(made.dense_tensor, [shape[0], shape[1], column.variable_shape.num_elements()])
    return (tf.transpose(sequence, [1, 0, 2]) if time_major else sequence), made.sequence_length


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
