"""Layers over feature columns: values, order, variable names and errors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.graph_session import in_graph
from tf_estimator.feature_column import Standardize

v1 = tf.compat.v1
fc = tf.feature_column


def test_dense_columns_stand_in_the_order_of_their_names():
    columns = [
        fc.numeric_column("v", shape=2),
        fc.numeric_column("b"),
        fc.bucketized_column(fc.numeric_column("c"), [0.0]),
    ]
    features = {"v": [[1.0, 2.0]], "b": [3.0], "c": [5.0]}
    result = in_graph(lambda: est.layers.DenseFeatures(columns)({k: tf.constant(v) for k, v in features.items()}))
    # b, c_bucketized (5 is in the second of two buckets), v.
    np.testing.assert_array_equal(result, [[3.0, 0.0, 1.0, 1.0, 2.0]])


def test_scalar_columns_are_normalized_together():
    columns = [
        fc.numeric_column("a", normalizer_fn=Standardize(1.0, 2.0)),
        fc.numeric_column("b"),
        fc.numeric_column("c", normalizer_fn=lambda x: x * 10.0),
        fc.numeric_column("d", normalizer_fn=Standardize(0.0, 4.0)),
    ]
    features = {"a": [5.0, 1.0], "b": [2, 3], "c": [1.0, 2.0], "d": [8.0, 4.0]}
    result = in_graph(lambda: est.layers.DenseFeatures(columns)({k: tf.constant(v) for k, v in features.items()}))
    # (5-1)/2, 2, 1*10, 8/4 | (1-1)/2, 3, 2*10, 4/4
    np.testing.assert_allclose(result, [[2.0, 2.0, 10.0, 2.0], [0.0, 3.0, 20.0, 1.0]])


def _constant_embedding(column, **arguments):
    rows = tf.constant_initializer(np.arange(8.0).reshape(4, 2))
    return fc.embedding_column(column, 2, initializer=rows, **arguments)


def test_embedding_combines_and_its_variable_is_found_again():
    column = _constant_embedding(fc.categorical_column_with_identity("k", 4), combiner="sum")

    def build():
        layer = est.layers.DenseFeatures([column], name="in")
        features = {"k": tf.SparseTensor([[0, 0], [0, 1], [1, 0]], [1, 3, 2], [3, 2])}
        both = [layer(features), layer(features)]
        assert [v.op.name for v in v1.trainable_variables()] == ["in/k_embedding/embedding_weights"]
        assert len(layer.trainable_variables) == 1
        return both

    # Rows (2, 3) + (6, 7); (4, 5); nothing.
    for result in in_graph(build):
        np.testing.assert_array_equal(result, [[8.0, 10.0], [4.0, 5.0], [0.0, 0.0]])


def test_unnamed_layers_of_one_graph_do_not_share_variables():
    column = fc.indicator_column(fc.categorical_column_with_identity("k", 4))
    embedding = fc.embedding_column(fc.categorical_column_with_identity("k", 4), 2)
    with tf.Graph().as_default():
        for _ in range(2):
            est.layers.DenseFeatures([column, embedding])({"k": tf.constant([1, 2])})
        names = sorted(v.op.name for v in v1.trainable_variables())
    assert names == [f"dense_features{n}/k_embedding/embedding_weights" for n in ("", "_1")]


def test_shared_embeddings_use_one_variable_in_each_of_several_graphs():
    with tf.Graph().as_default():
        columns = fc.shared_embeddings([fc.categorical_column_with_identity(k, 4) for k in "wz"], 2)
    for _ in range(2):

        def build():
            result = est.layers.DenseFeatures(columns)({"w": tf.constant([1]), "z": tf.constant([1])})
            assert [v.op.name for v in v1.trainable_variables()] == ["w_z_shared_embedding"]
            return result

        (row,) = in_graph(build)
        np.testing.assert_array_equal(row[:2], row[2:])


def test_sequence_columns_give_steps_and_lengths():
    columns = [
        fc.sequence_numeric_column("s"),
        _constant_embedding(fc.sequence_categorical_column_with_identity("t", 4)),
    ]

    def build():
        where = [[0, 0], [0, 1], [1, 0]]
        features = {
            "s": tf.SparseTensor(where, [1.0, 2.0, 3.0], [2, 2]),
            "t": tf.SparseTensor(where, [0, 1, 3], [2, 2]),
        }
        return est.layers.SequenceFeatures(columns)(features)

    steps, lengths = in_graph(build)
    # s first, then the embedding's row: row i of it is (2i, 2i + 1).
    np.testing.assert_array_equal(steps, [[[1, 0, 1], [2, 2, 3]], [[3, 6, 7], [0, 0, 0]]])
    np.testing.assert_array_equal(lengths, [2, 1])


def test_sequence_numbers_are_normalized_where_there_are_any():
    column = fc.sequence_numeric_column("s", normalizer_fn=Standardize(1.0, 2.0))

    def build():
        features = {"s": tf.SparseTensor([[0, 0], [0, 1], [1, 0]], [1.0, 3.0, 5.0], [2, 2])}
        return est.layers.SequenceFeatures([column])(features)[0]

    # (1-1)/2, (3-1)/2 | (5-1)/2 and padding.
    np.testing.assert_array_equal(in_graph(build)[..., 0], [[0.0, 1.0], [2.0, 0.0]])


def test_sequences_of_different_lengths_in_one_row_stop_the_run():
    columns = [fc.sequence_numeric_column("a"), fc.sequence_numeric_column("b")]

    def build():
        features = {
            "a": tf.SparseTensor([[0, 0], [0, 1]], [1.0, 2.0], [1, 2]),
            "b": tf.SparseTensor([[0, 0]], [1.0], [1, 2]),
        }
        return est.layers.SequenceFeatures(columns)(features)

    with pytest.raises(tf.errors.InvalidArgumentError, match="different lengths"):
        in_graph(build)


def test_context_stands_beside_every_step():
    result = in_graph(lambda: est.layers.concatenate_context(tf.constant([[7.0]]), tf.constant([[[1.0], [2.0]]])))
    np.testing.assert_array_equal(result, [[[1.0, 7.0], [2.0, 7.0]]])


@pytest.mark.parametrize(("combiner", "expected"), [("sum", 5.0), ("mean", 2.5), ("sqrtn", 5.0 / np.sqrt(2))])
def test_linear_model_sums_weights_of_columns(combiner, expected):
    columns = [fc.categorical_column_with_identity("k", 4), fc.numeric_column("x"), fc.numeric_column("v", shape=2)]

    def build():
        features = {
            "k": tf.SparseTensor([[0, 0], [0, 1]], [1, 3], [1, 2]),
            "x": tf.constant([10.0]),
            "v": tf.constant([[1.0, 2.0]]),
        }
        model = est.layers.LinearModel(columns, sparse_combiner=combiner, name="lin")
        logits = model(features)
        named = {v.op.name: v for v in v1.trainable_variables()}
        assert set(named) == {"lin/k/weights", "lin/x/weights", "lin/v/weights", "lin/bias_weights"}
        assign = [
            named["lin/k/weights"].assign([[0.0], [2.0], [0.0], [3.0]]),
            named["lin/x/weights"].assign([[0.5]]),
            named["lin/v/weights"].assign([[1.0], [2.0]]),
            named["lin/bias_weights"].assign([0.25]),
        ]
        return [logits, assign]

    # The second run sees the weights: categories 2 and 3 combined, + 0.5*10 + 1*1 + 2*2 + 0.25.
    logits, _ = in_graph(build, runs=2)
    assert logits[0, 0] == pytest.approx(expected + 10.25, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: est.layers.DenseFeatures([fc.categorical_column_with_identity("k", 4)]),
            "embedding_column or indicator",
        ),
        (lambda: est.layers.DenseFeatures([fc.numeric_column("x")] * 2), "Duplicate feature column"),
        (lambda: est.layers.DenseFeatures([]), "must not be empty"),
        (lambda: est.layers.DenseFeatures({"x": 1}), "found dict"),
        (lambda: est.layers.SequenceFeatures([fc.numeric_column("x")]), "sequence column"),
        (lambda: est.layers.LinearModel(["x"]), "DenseColumn or a CategoricalColumn"),
        (lambda: est.layers.LinearModel([fc.numeric_column("x")], sparse_combiner="max"), "sparse_combiner"),
        (lambda: Standardize(0.0, 0.0), "stddev"),
    ],
)
def test_wrong_columns_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_missing_feature_is_a_key_error_that_names_it():
    layer = est.layers.DenseFeatures([fc.numeric_column("x")])
    with tf.Graph().as_default():
        with pytest.raises(KeyError, match="Feature x is not in features"):
            layer({"y": tf.constant([1.0])})
        with pytest.raises(ValueError, match="should be a dictionary"):
            layer(tf.constant([1.0]))
        with pytest.raises(ValueError, match="rank 0"):
            layer({"x": tf.constant(1.0)})
