"""Weights of features that have one id per step or row: a gather, where TensorFlow's general lookup sorts, fills,
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
    table = state.get_variable(column, "embedding_weights")
    return _placed(table, categorical, ids.values, places, shape), lengths


def embed_rows(column: Any, cache: FeatureCache, state: ColumnState) -> tf.Tensor | None:
    """An embedding column over a dense feature of one value per row, float32 `[batch, dimension]`, zeros where there is
    no id; None where the general way is needed."""
    if not _is_plain_embedding(column) or type(column.categorical_column).__name__ not in _PLAIN:
        return None
    return look_up_rows(column.categorical_column, state.get_variable(column, "embedding_weights"), cache, state)


def look_up_rows(categorical: Any, table: Any, cache: FeatureCache, state: ColumnState) -> tf.Tensor | None:
    """The rows of a table that a column of one id per row names, `[batch, dimension]`, zeros where there is no id.

    Args:
        categorical: any categorical column.
        table: its weights `[ids, dimension]`.
        cache: the features.
        state: of the layer.

    Returns:
        None where the general way is needed: ids of another kind, a feature that is not dense, a partitioned table.
    """
    if type(categorical).__name__ not in _PLAIN or is_partitioned(table):
        return None
    given = cache.plain(categorical.key)
    if not isinstance(given, tf.Tensor) or not (given.shape.rank == 1 or given.shape[1:] == [1]):
        return None
    ids = cache.get(categorical, state)
    return _placed(table, categorical, ids.values, ids.indices[:, :1], [ids.dense_shape[0]])


def _is_plain_embedding(column: Any) -> bool:
    return type(column).__name__ == "EmbeddingColumn" and column.max_norm is None and not column.ckpt_to_load_from


def _placed(table: Any, categorical: Any, ids: Any, places: Any, shape: list[Any]) -> tf.Tensor:
    """The rows of the table for `ids` at their places in zeros of `shape` and the table's width."""
    if type(categorical).__name__ != _HASHED:
        known = tf.where(ids >= 0)[:, 0]  # once for both; two boolean masks are four times the operations
        places, ids = tf.gather(places, known), tf.gather(ids, known)
    width = table.shape[1]
    placed = tf.scatter_nd(places, tf.gather(table, ids), tf.stack([*shape, width]))
    return tf.ensure_shape(placed, [None] * len(shape) + [width])
