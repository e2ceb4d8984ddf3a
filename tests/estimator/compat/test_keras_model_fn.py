"""Model functions written with Keras 3: the same numbers as Keras itself, the same names in each mode."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, make, rows
from tf_estimator.graph.keras_seeds import drawn_from

v1 = tf.compat.v1


def network() -> Any:
    ones = keras.initializers.Constant(0.1)
    layers = [
        keras.layers.Dense(4, "tanh", kernel_initializer=ones, name="first"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dense(1, kernel_initializer=ones, name="second"),
    ]
    return keras.Sequential(layers, name="net")


def model_of(optimizer: Any, wrapped: bool) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        net = network()
        predicted = net(features["x"], training=mode == est.ModeKeys.TRAIN)
        if mode == est.ModeKeys.PREDICT:
            return est.EstimatorSpec(mode, predictions=predicted)
        loss = tf.reduce_mean((predicted - labels) ** 2)
        if mode == est.ModeKeys.EVAL:
            mae, mse = keras.metrics.MeanAbsoluteError(), keras.metrics.MeanSquaredError()
            mae.update_state(labels, predicted)
            mse.update_state(labels, predicted)
            return est.EstimatorSpec(mode, loss=loss, eval_metric_ops={"mae": mae, "mse": mse})
        step, chosen = v1.train.get_global_step(), optimizer()
        variables = net.trainable_variables
        gradients = tf.gradients(loss, [v.value for v in variables])
        if not wrapped:
            chosen.apply_gradients(zip(gradients, variables, strict=True))
            return est.EstimatorSpec(mode, loss=loss, train_op=v1.assign_add(step, 1))
        chosen.build(variables)

        @tf.function(autograph=False)
        def apply(*gradients: Any) -> Any:
            chosen.apply(gradients, variables)
            return tf.constant(0)

        with tf.control_dependencies([apply(*gradients)]):
            return est.EstimatorSpec(mode, loss=loss, train_op=v1.assign_add(step, 1))

    return model_fn


def eagerly(optimizer: Any, steps: int) -> tuple[Any, list[float]]:
    net = network()
    net.build((None, 3))
    data = iter(rows()())
    losses = []
    for _ in range(steps):
        features, labels = next(data)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((net(features["x"], training=True) - labels) ** 2)
        gradients = tape.gradient(loss, [v.value for v in net.trainable_variables])
        optimizer.apply_gradients(zip(gradients, net.trainable_variables, strict=True))
        losses.append(float(loss))
    return net, losses


@pytest.mark.parametrize(
    ("optimizer", "wrapped"),
    [
        (lambda: keras.optimizers.Adam(0.05), False),
        (lambda: keras.optimizers.Adam(0.05), True),
        (lambda: keras.optimizers.Adagrad(0.1), False),
    ],
    ids=["adam", "adam in a tf.function", "adagrad"],
)
def test_training_equals_keras_run_eagerly(tmp_path: Path, optimizer: Any, wrapped: bool) -> None:
    losses: list[float] = []

    class Losses(v1.train.SessionRunHook):
        def next_step(self, step: int) -> int:
            return (step // 7 + 1) * 7

        def before_run(self, run_context: Any) -> Any:
            return v1.train.SessionRunArgs(run_context.original_args.fetches[0])

        def after_run(self, run_context: Any, run_values: Any) -> None:
            losses.append(float(run_values.results))

    estimator = make(tmp_path, model=model_of(optimizer, wrapped)).train(rows(), steps=40, hooks=[Losses()])
    net, expected = eagerly(optimizer(), 40)
    np.testing.assert_allclose(losses, [expected[i - 1] for i in (7, 14, 21, 28, 35)], rtol=2e-4)
    values = [estimator.get_variable_value(v.path) for v in net.variables[:-1]]
    for value, variable in zip(values, net.variables, strict=False):
        np.testing.assert_allclose(value, variable.numpy(), rtol=2e-3, atol=1e-5, err_msg=variable.path)
    result = estimator.evaluate(rows(1))
    predicted = np.stack(list(estimator.predict(rows(1))))
    assert result["mae"] == pytest.approx(np.mean(np.abs(predicted - Y)), rel=1e-4)
    assert result["mse"] == pytest.approx(np.mean((predicted - Y) ** 2), rel=1e-4)
    assert result["mae"] == estimator.evaluate(rows(1))["mae"]
    np.testing.assert_allclose(predicted, net(X, training=False), rtol=2e-3, atol=1e-5)


class _Scale(keras.layers.Layer):  # type: ignore[misc]
    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(name="factor", shape=(), initializer="ones")

    def call(self, x: Any) -> Any:
        return x * self.factor


def test_layer_of_a_private_class_has_a_name_in_the_graph(tmp_path: Path) -> None:
    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        predicted = tf.reduce_sum(_Scale(name="_scale")(features["x"]), axis=1, keepdims=True)
        if mode == est.ModeKeys.PREDICT:
            return est.EstimatorSpec(mode, predictions=predicted)
        loss = tf.reduce_mean((predicted - labels) ** 2)
        step = v1.train.GradientDescentOptimizer(0.01).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, loss=loss, train_op=step)

    estimator = est.Estimator(model_fn, tmp_path / "model")
    estimator.train(rows(4), steps=3)

    assert estimator.get_variable_names() == ["_scale/factor", "global_step"]
    assert estimator.get_variable_value("_scale/factor") != 1.0
    (first, *_) = estimator.predict(rows(4))
    assert np.isfinite(first).all()


def with_dropout(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
    hidden = keras.layers.Dense(8, name="hidden")(features["x"])
    hidden = keras.layers.Dropout(0.5)(hidden, training=mode == est.ModeKeys.TRAIN)
    loss = tf.reduce_mean((keras.layers.Dense(1, name="logits")(hidden) - labels) ** 2)
    step = v1.train.GradientDescentOptimizer(0.01).minimize(loss, v1.train.get_global_step())
    return est.EstimatorSpec(mode, loss=loss, train_op=step)


def test_seed_of_the_run_is_that_of_keras_layers(tmp_path: Path) -> None:
    kernels = []
    for number, seed in enumerate((5, np.int64(5), 6, None, None)):
        config = est.RunConfig(str(tmp_path / str(number)), tf_random_seed=seed)
        estimator = est.Estimator(with_dropout, config=config).train(rows(4), steps=3)
        kernels.append([estimator.get_variable_value(f"{name}/kernel").tolist() for name in ("hidden", "logits")])
    assert kernels[0] == kernels[1]
    assert all(kernels[0] != others for others in kernels[2:])
    assert kernels[3] != kernels[4]


def test_pythons_generator_goes_on_as_if_no_model_had_been_made() -> None:
    state = random.getstate()
    second_is_in, first_is_out = threading.Event(), threading.Event()
    drawn = []

    def second() -> None:
        with drawn_from(2):
            second_is_in.set()
            assert first_is_out.wait(60)
            drawn.append(random.random())

    with drawn_from(1):
        drawn.append(random.random())
        thread = threading.Thread(target=second)
        thread.start()
        assert second_is_in.wait(60)
    first_is_out.set()
    thread.join()
    assert drawn == [random.Random(1).random(), random.Random(2).random()]
    assert random.getstate() == state
    with drawn_from(None):
        assert random.getstate() == state
