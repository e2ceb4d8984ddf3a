"""`SequenceFeatures`: sequence columns side by side, and context beside every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..model_fn import plain_shapes
from .column_state import ColumnState, FeatureCache
from .layer import ColumnLayer
from .single_ids import embed_steps


class SequenceFeatures(ColumnLayer):
    """A layer from a dict of sparse features to one tensor `[batch, time, width]` and the lengths `[batch]`.

    Args:
        feature_columns: sequence columns, or dense columns made of sequence columns.
        trainable: whether optimizers may change its variables.
        name: scope of the variables; `sequence_features` if None, counted up when taken.

    Raises:
        ValueError: a column that is not for sequences, or two of one name.
    """

    _default_name = "sequence_features"
    _kind = "a sequence column, or a dense column made of one (tf.feature_column.sequence_*)"
    _methods = ["get_sequence_dense_tensor"]

    @plain_shapes
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
