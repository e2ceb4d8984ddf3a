"""Embeddings of features that have one id per step or row: a gather, where TensorFlow's general lookup sorts, fills,
makes unique and averages, and reads the whole table when its optimizer rewrites that lookup."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .column_state import ColumnState, FeatureCache, is_partitioned

# Categorical columns that give ids without weights. The hashed one never gives -1, which stands for "no id".
_HASHED = "HashedCategoricalColumn"
_PLAIN = {_HASHED, "IdentityCategoricalColumn", "VocabularyFileCategoricalColumn", "VocabularyListCategoricalColumn"}


def embed_steps(
    column: Any, cache: FeatureCache, state: ColumnState, *, time_major: bool
) -> tuple[tf.Tensor, tf.Tensor] | None:
    """The steps of an embedding column over a sequence of ids, or None where the general way is needed: several ids in
    a step, limited norms, values from another checkpoint, or columns of another kind.

    Args:
        column: any sequence column.
        cache: the features.
        state: holds the table, made before.
        time_major: which of the two results to make.

    Returns:
        float32 `[batch, time, dimension]` or `[time, batch, dimension]`, zeros where there is no id; and the lengths,
        int64 `[batch]`.
    """
    if not _is_plain_embedding(column) or type(column.categorical_column).__name__ != "SequenceCategoricalColumn":
        return None
    categorical = column.categorical_column.categorical_column
    if type(categorical).__name__ not in _PLAIN:
        return None
    ids = cache.get(column.categorical_column, state)
    # A third dimension holds several ids for each step.
    if not isinstance(ids, tf.SparseTensor) or ids.dense_shape.shape != [2]:
        return None
    batch, time = ids.dense_shape[0], ids.dense_shape[1]
    rows, steps = tf.unstack(ids.indices, num=2, axis=1)
    lengths = tf.maximum(tf.math.unsorted_segment_max(steps + 1, rows, batch), 0)
    places = tf.stack([steps, rows], axis=1) if time_major else ids.indices
    shape = [time, batch] if time_major else [batch, time]
    return _placed(column, categorical, state, ids.values, places, shape), lengths


def embed_rows(column: Any, cache: FeatureCache, state: ColumnState) -> tf.Tensor | None:
    """An embedding column over a dense feature of one value per row, float32 `[batch, dimension]`, zeros where there is
    no id; None where the general way is needed."""
    if not _is_plain_embedding(column) or type(column.categorical_column).__name__ not in _PLAIN:
        return None
    if is_partitioned(state.get_variable(column, "embedding_weights")):
        return None
    given = cache.plain(column.categorical_column.key)
    if not isinstance(given, tf.Tensor) or not (given.shape.rank == 1 or given.shape[1:] == [1]):
        return None
    ids = cache.get(column.categorical_column, state)
    places = ids.indices[:, :1]
    return _placed(column, column.categorical_column, state, ids.values, places, [ids.dense_shape[0]])


def _is_plain_embedding(column: Any) -> bool:
    return type(column).__name__ == "EmbeddingColumn" and column.max_norm is None and not column.ckpt_to_load_from


def _placed(column: Any, categorical: Any, state: ColumnState, ids: Any, places: Any, shape: list[Any]) -> tf.Tensor:
    """The rows of the table for `ids` at their places in zeros of `shape` and the column's dimension."""
    if type(categorical).__name__ != _HASHED:
        known = ids >= 0
        places, ids = tf.boolean_mask(places, known), tf.boolean_mask(ids, known)
    embedded = tf.gather(state.get_variable(column, "embedding_weights"), ids)
    placed = tf.scatter_nd(places, embedded, tf.stack([*shape, column.dimension]))
    return tf.ensure_shape(placed, [None] * len(shape) + [column.dimension])
