"""v1's canned estimators (`est.v1`); tests/golden has what the old library did with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

v1 = tf.compat.v1
fc = tf.feature_column
WORDS = np.array(["a", "b", "c", "d"] * 8)
NUMBERS = np.linspace(-1, 1, 32).astype(np.float32)
LABELS = (NUMBERS > 0).astype(np.int64)


def _input() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(({"c": WORDS, "x": NUMBERS}, LABELS)).batch(8)


def _hashed() -> Any:
    return fc.categorical_column_with_hash_bucket("c", 10)


def _embedding() -> Any:
    return fc.embedding_column(_hashed(), 4)


@pytest.mark.parametrize("name", ["Momentum", "adam", "AdamOptimizer", "GradientDescent", "Adadelta", "RMSprop"])
def test_other_names_than_v1s_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"Supported names are: .'Adagrad', 'Adam', 'Ftrl', 'RMSProp', 'SGD'"):
        est.v1.DNNClassifier([2], [_embedding()], optimizer=name)


def test_keras_optimizer_is_refused_with_the_way_out(tmp_path: Path) -> None:
    adam = tf.keras.optimizers.Adam()
    with pytest.raises(ValueError, match=r"is not an Optimizer instance.*estimators of tf.estimator \(v2\)"):
        est.v1.LinearClassifier([_hashed()], optimizer=adam)
    later = est.v1.LinearClassifier([_hashed()], optimizer=tf.keras.optimizers.Adam, model_dir=str(tmp_path))
    with pytest.raises(ValueError, match="is not an Optimizer instance"):
        later.train(_input)


@pytest.mark.parametrize("reduction", ["NONE", "none", "sum", "auto", "MEAN"])
def test_other_reductions_than_v1s_are_refused(reduction: str) -> None:
    with pytest.raises(ValueError, match=f"Invalid loss_reduction: {reduction}"):
        est.v1.LinearRegressor([_hashed()], loss_reduction=reduction)


def test_optimizer_may_be_a_class_an_instance_or_a_function(tmp_path: Path) -> None:
    def decayed() -> Any:
        step = v1.train.get_global_step()
        return v1.train.AdamOptimizer(v1.train.exponential_decay(0.001, step, 100, 0.9))

    for number, optimizer in enumerate((v1.train.AdamOptimizer, v1.train.AdamOptimizer(0.001), decayed, "Adam")):
        estimator = est.v1.DNNClassifier(
            [3], [_embedding()], model_dir=str(tmp_path / str(number)), optimizer=optimizer
        )
        estimator.train(_input)
        estimator.train(_input, steps=2)
        names = estimator.get_variable_names()
        assert "dnn/head/beta1_power" in names
        assert "dnn/hiddenlayer_0/kernel/t_0/Adam_1" in names
        # beta1 = 0.9 after six steps: 0.9⁷ (it starts at 0.9).
        assert estimator.get_variable_value("dnn/head/beta1_power") == pytest.approx(0.9**7, rel=1e-5)


def test_a_given_partitioner_cuts_the_variables_of_the_columns(tmp_path: Path) -> None:
    cut = v1.fixed_size_partitioner(2)
    linear = est.v1.LinearClassifier([_hashed()], str(tmp_path / "l"), partitioner=cut, optimizer="SGD")
    deep = est.v1.DNNClassifier(
        [3], [_embedding()], str(tmp_path / "d"), 2, None, None, "Adagrad", tf.nn.relu, None, cut
    )
    both = est.v1.DNNLinearCombinedClassifier(
        linear_feature_columns=[_hashed()],
        dnn_feature_columns=[_embedding()],
        dnn_hidden_units=[3],
        input_layer_partitioner=cut,
        model_dir=str(tmp_path / "b"),
    )
    for estimator in (linear, deep, both):
        estimator.train(_input)
        estimator.train(_input)
        assert estimator.evaluate(_input)["global_step"] == 8
        receiver = est.export.build_parsing_serving_input_receiver_fn(
            fc.make_parse_example_spec(estimator.feature_columns)
        )
        estimator.export_saved_model(str(tmp_path / "export"), receiver)
    scope = "dnn/input_from_feature_columns/input_layer/c_embedding/embedding_weights"
    assert linear.get_variable_value("linear/linear_model/c/weights").shape == (10, 1)
    assert deep.get_variable_value(scope).shape == both.get_variable_value(scope).shape == (10, 4)
    # The old library's names of these slots, each with one of the two slices.
    assert {f"{scope}/t_0/Adagrad", f"{scope}/t_1/Adagrad"} <= set(deep.get_variable_names())
    assert both.get_variable_value(f"{scope}/Adagrad").shape == (10, 4)


def test_old_shared_embedding_columns_train(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        columns = v1.feature_column.shared_embedding_columns(
            [_hashed(), fc.categorical_column_with_hash_bucket("d", 10)], 2
        )

    def input_fn() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(({"c": WORDS, "d": WORDS}, LABELS)).batch(8)

    # ReLUs may all start dead, and then nothing reaches the embedding: tanh always passes a gradient on.
    estimator = est.v1.DNNClassifier([2], columns, str(tmp_path), activation_fn=tf.nn.tanh).train(input_fn)
    name = "dnn/input_from_feature_columns/input_layer/c_d_shared_embedding/embedding_weights"
    assert {name, f"{name}/t_0/Adagrad"} <= set(estimator.get_variable_names())
    before = estimator.get_variable_value(name)
    estimator.train(input_fn)
    assert not np.array_equal(before, estimator.get_variable_value(name))


def test_estimators_take_any_head(tmp_path: Path) -> None:
    head = est.BinaryClassHead()
    for estimator in (
        est.v1.DNNEstimator(head, [2], [_embedding()], str(tmp_path / "d")),
        est.v1.LinearEstimator(head, [_hashed()], str(tmp_path / "l")),
        est.v1.DNNLinearCombinedEstimator(
            head, str(tmp_path / "c"), [_hashed()], dnn_feature_columns=[_embedding()], dnn_hidden_units=[2]
        ),
        est.v1.BaselineEstimator(head, str(tmp_path / "b")),
    ):
        estimator.train(_input)
        assert estimator.evaluate(_input)["global_step"] == 4


def test_area_of_the_polygon_is_that_of_tensorflow() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 50), np.round(rng.random(50), 1).astype(np.float32)
    weights = rng.random(50).astype(np.float32)
    with tf.Graph().as_default(), v1.Session() as session:
        wanted, update = v1.metrics.auc(labels, scores, weights, curve="PR", summation_method="trapezoidal")
        metric = est.v1.DNNClassifier([1], [_embedding()]).head.metrics()["auc_precision_recall"]
        ours = metric.update_state(tf.constant(labels), tf.constant(scores), tf.constant(weights))
        session.run(v1.local_variables_initializer())
        session.run([update, ours])
        values = session.run([metric.result(), wanted])
    assert values[0] == pytest.approx(values[1], abs=1e-6)
