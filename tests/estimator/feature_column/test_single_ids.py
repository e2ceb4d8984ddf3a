"""The short way to embed single ids gives what TensorFlow's columns give, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.estimator.graph_session import in_graph
from tf_estimator.feature_column.column_state import ColumnState, FeatureCache, create_column_states
from tf_estimator.feature_column.single_ids import embed_rows, embed_steps

v1 = tf.compat.v1
fc = tf.feature_column

# A gap in the first row, an empty row in the middle and one at the end.
_WHERE = [[0, 0], [0, 2], [2, 0], [2, 1]]
_WORDS = ["x", "unknown", "y", "x"]
_SHAPE = [4, 5]


def _ready(column, feature):
    state = ColumnState("steps")
    create_column_states([column], state)
    return FeatureCache({"t": feature}), state


def _sparse(values):
    return tf.SparseTensor(_WHERE, values, _SHAPE)


@pytest.mark.parametrize("time_major", [False, True], ids=["batch first", "time first"])
@pytest.mark.parametrize(
    ("make", "feature"),
    [
        (lambda: fc.sequence_categorical_column_with_hash_bucket("t", 3), lambda: _sparse(_WORDS)),
        (lambda: fc.sequence_categorical_column_with_vocabulary_list("t", ["x", "y"]), lambda: _sparse(_WORDS)),
        (
            lambda: fc.sequence_categorical_column_with_vocabulary_list("t", ["x", "y"], num_oov_buckets=2),
            lambda: tf.ragged.constant([["x", "y", "?"], [], ["y"]]),
        ),
        (lambda: fc.sequence_categorical_column_with_identity("t", 4), lambda: _sparse([3, 1, 3, 0])),
        (lambda: fc.sequence_categorical_column_with_identity("t", 4), lambda: tf.constant([[1, -1, 2], [3, -1, -1]])),
        (lambda: fc.sequence_categorical_column_with_identity("t", 4), lambda: tf.constant([[-1, -1], [-1, -1]])),
    ],
    ids=["hash", "vocabulary", "ragged", "identity", "dense", "nothing"],
)
def test_equals_the_column_of_tensorflow(make, feature, time_major):
    def build():
        column = fc.embedding_column(make(), 2, initializer=v1.random_normal_initializer(seed=3))
        cache, state = _ready(column, feature())
        short, short_lengths = embed_steps(column, cache, state, time_major=time_major)
        own = column.get_sequence_dense_tensor(cache, state)
        full = tf.transpose(own.dense_tensor, [1, 0, 2]) if time_major else own.dense_tensor
        gradients = _table_gradients(state, short, full)
        return [short, short_lengths, gradients[0]], [full, own.sequence_length, gradients[1]]

    for got, wanted in zip(*in_graph(build), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "feature"),
    [
        (lambda: fc.categorical_column_with_hash_bucket("t", 3), ["x", "", "y", "x"]),
        (lambda: fc.categorical_column_with_vocabulary_list("t", ["x", "y"]), ["x", "", "unknown", "x"]),
        (lambda: fc.categorical_column_with_identity("t", 4), [[3], [-1], [3]]),
    ],
    ids=["hash", "vocabulary", "identity"],
)
def test_rows_equal_the_column_of_tensorflow(make, feature):
    def build():
        column = fc.embedding_column(make(), 2, initializer=v1.random_normal_initializer(seed=3))
        cache, state = _ready(column, tf.constant(feature))
        short, full = embed_rows(column, cache, state), column.get_dense_tensor(cache, state)
        gradients = _table_gradients(state, short, full)
        return [short, gradients[0]], [full, gradients[1]]

    for got, wanted in zip(*in_graph(build), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def _table_gradients(state, *embedded):
    """Dense gradients of the only table, each element of `embedded` weighted by its place."""
    (table,) = state.variables
    weights = tf.reshape(tf.cast(tf.range(tf.size(embedded[0])), tf.float32) + 1.0, tf.shape(embedded[0]))
    return [tf.convert_to_tensor(tf.gradients(tf.reduce_sum(part * weights), table)[0]) for part in embedded]


@pytest.mark.parametrize(
    "make",
    [
        lambda ids: fc.embedding_column(ids, 2, max_norm=1.0),
        lambda ids: fc.indicator_column(ids),
        lambda ids: fc.embedding_column(fc.weighted_categorical_column(ids, "w"), 2),
    ],
    ids=["max_norm", "indicator", "weighted"],
)
def test_leaves_other_columns_to_tensorflow(make):
    with tf.Graph().as_default():
        column = make(fc.sequence_categorical_column_with_identity("t", 4))
        cache, state = _ready(column, _sparse([3, 1, 3, 0]))
        assert embed_steps(column, cache, state, time_major=True) is None


def test_leaves_several_ids_in_a_step_to_tensorflow():
    with tf.Graph().as_default():
        column = fc.embedding_column(fc.sequence_categorical_column_with_identity("t", 4), 2)
        cache, state = _ready(column, tf.SparseTensor([[0, 0, 0], [0, 0, 1]], [1, 2], [1, 1, 2]))
        assert embed_steps(column, cache, state, time_major=True) is None


def test_leaves_several_ids_in_a_row_to_tensorflow():
    with tf.Graph().as_default():
        column = fc.embedding_column(fc.categorical_column_with_identity("t", 4), 2)
        cache, state = _ready(column, tf.constant([[1, 2], [3, 0]]))
        assert embed_rows(column, cache, state) is None
