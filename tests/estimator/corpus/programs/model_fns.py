"""Custom model_fns: what they take, predict and keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .models import X, line, line_model, make, once, rows, trained, v1, variables
from .registry import add, program

THEME = "model_fns"


def _predicting(est: Any, predictions: Any) -> Any:
    def model_fn(features: Any, mode: str) -> Any:
        return est.EstimatorSpec(mode, predictions=predictions(features["x"]))

    return model_fn


PREDICTIONS = {
    "tensor": (lambda x: x * 2, {}),
    "by name": (lambda x: {"a": x, "b": tf.stack([x, x], 1)}, {}),
    "batches": (lambda x: {"a": x}, {"yield_single_examples": False}),
    "keys": (lambda x: {"a": x, "b": -x}, {"predict_keys": ["b"]}),
    "one key": (lambda x: {"a": x, "b": -x}, {"predict_keys": "b"}),
    "unknown key": (lambda x: {"a": x}, {"predict_keys": ["c"]}),
    "keys of a tensor": (lambda x: x, {"predict_keys": ["a"]}),
    "scalar": (lambda x: {"a": tf.constant(1.0)}, {}),
    "lengths differ": (lambda x: {"a": x, "b": x[:1]}, {}),
    "text": (lambda x: {"a": tf.strings.as_string(x, precision=2)}, {}),
    "integers": (lambda x: {"a": tf.cast(x * 4, tf.int64), "b": x > 1}, {}),
    "empty batches": (lambda x: {"a": x[:0]}, {}),
}
for _name, (_predictions, _arguments) in PREDICTIONS.items():
    add(
        THEME,
        f"predict {_name}",
        lambda est, d, p=_predictions, a=_arguments: list(
            make(est, d, _predicting(est, p)).predict(once({"x": X}, batch=4), **a)
        ),
    )


def _training(est: Any, body: Any) -> Any:
    """A model_fn of a loss and a function that adds to it."""

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        loss = body(features["x"], labels)
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, predictions={"loss": tf.fill([1], loss)}, loss=loss, train_op=train_op)

    return model_fn


def _variable(name: str, shape: Any = (), **arguments: Any) -> Any:
    return v1.get_variable(name, shape, **{"initializer": v1.ones_initializer(), **arguments})


def _scopes(x: Any, y: Any) -> Any:
    with v1.variable_scope("outer"), v1.variable_scope("inner"):
        a = _variable("a")
    with v1.variable_scope("outer/inner", reuse=True):
        again = v1.get_variable("a", [])
    with tf.name_scope("other"):
        b = v1.Variable(2.0, name="b")
        c = tf.Variable(3.0, name="c")
    return tf.reduce_mean((a * again * x + b + c - y) ** 2)


def _default_scopes(x: Any, y: Any) -> Any:
    total = 0.0
    for _ in range(3):
        with v1.variable_scope(None, default_name="layer"):
            total += _variable("w")
    return tf.reduce_mean((total * x - y) ** 2)


def _auto_reuse(x: Any, y: Any) -> Any:
    total = 0.0
    for _ in range(3):
        with v1.variable_scope("same", reuse=v1.AUTO_REUSE):
            total += _variable("w")
    return tf.reduce_mean((total * x - y) ** 2)


def _losses(x: Any, y: Any) -> Any:
    with v1.variable_scope("s", regularizer=lambda w: 0.1 * tf.reduce_sum(w**2)):
        w = _variable("w")
    v1.losses.mean_squared_error(y, w * x, weights=2.0)
    v1.losses.add_loss(0.5 * w)
    return v1.losses.get_total_loss()


def _cond(x: Any, y: Any) -> Any:
    w = _variable("w")
    return tf.cond(v1.train.get_global_step() < 1, lambda: (w - 3) ** 2, lambda: 2 * w)


def _loop(x: Any, y: Any) -> Any:
    w = _variable("w", (), initializer=v1.constant_initializer(0.5))
    return tf.while_loop(lambda i, t: i < 3, lambda i, t: (i + 1, t * w + 1), (0, tf.constant(1.0)))[1]


def _counter(x: Any, y: Any) -> Any:
    seen = _variable("seen", (), dtype=tf.int64, trainable=False)
    with tf.control_dependencies([v1.assign_add(seen, tf.size(x, tf.int64))]):
        return (_variable("w") - 3) ** 2


def _moving_mean(x: Any, y: Any) -> Any:
    mean = _variable("mean", (), trainable=False)
    with tf.control_dependencies([v1.assign_sub(mean, 0.1 * (mean - tf.reduce_mean(x)))]):
        w = tf.identity(_variable("w"))
    return tf.reduce_mean((w * x - y) ** 2)


def _embedding(x: Any, y: Any) -> Any:
    table = _variable("table", (5, 2))
    return tf.reduce_sum(tf.nn.embedding_lookup(table, tf.cast(x * 2, tf.int64)) ** 2)


def _doubles(x: Any, y: Any) -> Any:
    w = _variable("w", (2, 2), dtype=tf.float64)
    return tf.cast(tf.reduce_sum(w**2), tf.float32)


def _custom_gradient(x: Any, y: Any) -> Any:
    @tf.custom_gradient
    def square(v: Any) -> Any:
        return v**2, lambda slope: slope * 10.0

    return square(_variable("w"))


def _stop_gradient(x: Any, y: Any) -> Any:
    a, b = _variable("a"), _variable("b")
    return (tf.stop_gradient(a) - 2 * b) ** 2 + 0.0 * a


def _getter(x: Any, y: Any) -> Any:
    def half(getter: Any, *arguments: Any, **more: Any) -> Any:
        return getter(*arguments, **more) / 2

    with v1.variable_scope("s", custom_getter=half):
        w = _variable("w")
    return (w - 3) ** 2


def _initial_values(x: Any, y: Any) -> Any:
    parts = [
        v1.get_variable("constant", [2], initializer=v1.constant_initializer(0.25)),
        v1.get_variable("array", initializer=np.float32([1, 2])),
        v1.get_variable("identity", [2, 2], initializer=v1.initializers.identity()),
        v1.get_variable("function", initializer=lambda: tf.constant([3.0])),
    ]
    return tf.add_n([tf.reduce_sum(part**2) for part in parts])


def _loss_of_one(x: Any, y: Any) -> Any:
    return tf.reshape((_variable("w") - 3) ** 2, [])


BODIES = {
    "scopes": _scopes, "default scopes": _default_scopes, "auto reuse": _auto_reuse, "losses": _losses, "cond": _cond,
    "loop": _loop, "counter": _counter, "moving mean": _moving_mean, "embedding": _embedding, "doubles": _doubles,
    "custom gradient": _custom_gradient, "stop gradient": _stop_gradient, "custom getter": _getter,
    "initial values": _initial_values, "loss of one": _loss_of_one,
}  # fmt: skip
for _name, _body in BODIES.items():
    add(THEME, _name, lambda est, d, body=_body: trained(make(est, d, _training(est, body)), rows(), steps=3))


@program(THEME)
def tables(est: Any, directory: str) -> Any:
    def model_fn(features: Any, mode: str) -> Any:
        keys = tf.lookup.KeyValueTensorInitializer(["a", "b"], [10, 20])
        table = tf.lookup.StaticHashTable(keys, -1)
        return est.EstimatorSpec(mode, {"id": table.lookup(features["x"])})

    return list(make(est, directory, model_fn).predict(once({"x": np.array(["b", "a", "c"])})))


@program(THEME)
def params(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str, params: Any, config: Any) -> Any:
        predicted, _, _ = line(features)
        loss = tf.reduce_mean((predicted - labels) ** 2)
        train_op = v1.train.GradientDescentOptimizer(params["rate"]).minimize(loss, v1.train.get_global_step())
        assert config.tf_random_seed == 1
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return trained(make(est, directory, model_fn, params={"rate": 0.01}), rows())


@program(THEME)
def params_are_a_copy(est: Any, directory: str) -> Any:
    given = {"a": 1}

    def model_fn(features: Any, params: Any) -> Any:
        raise AssertionError

    estimator = make(est, directory, model_fn, params=given)
    given["a"] = 2
    estimator.params["a"] = 3
    return estimator.params


for _name, _model_fn in {
    "without features": lambda labels, mode: None,
    "with an unknown argument": lambda features, labels, other: None,
    "none": None,
    "no function": 5,
    "returns nothing": lambda features, labels, mode: None,
    "returns a tensor": lambda features, labels, mode: tf.constant(1.0),
}.items():
    add(THEME, f"bad {_name}", lambda est, d, fn=_model_fn: est.Estimator(fn, d).train(rows(), steps=1))
add(THEME, "bad params to a model without", lambda est, d: est.Estimator(line_model(est), d, params={"a": 1}))
add(THEME, "bad mode of the specification", lambda est, d: make(
    est, d, lambda features, labels, mode: est.EstimatorSpec("eval", loss=tf.constant(1.0))).train(rows(), steps=1)
)  # fmt: skip


@program(THEME)
def raises_its_own_error(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        raise NotImplementedError("later")

    return make(est, directory, model_fn).train(rows(), steps=1)


@program(THEME)
def step_by_two(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        predicted, w, _b = line(features)
        loss = tf.reduce_mean((predicted - labels) ** 2)
        step = v1.train.get_global_step()
        return est.EstimatorSpec(mode, loss=loss, train_op=tf.group(v1.assign_add(step, 2), v1.assign_add(w, 1.0)))

    return variables(make(est, directory, model_fn).train(rows(), steps=5))


@program(THEME)
def the_models_model_fn(est: Any, directory: str) -> Any:
    estimator = make(est, directory)
    with tf.Graph().as_default():
        v1.train.create_global_step()
        spec = estimator.model_fn({"x": tf.constant(X)}, tf.constant(X), "eval", estimator.config)
        return spec.mode, spec.loss.shape.as_list(), spec.train_op


@program(THEME)
def overriding_a_method(est: Any, directory: str) -> Any:
    class Mine(est.Estimator):  # type: ignore[misc, name-defined]
        def train(self, *arguments: Any, **more: Any) -> Any:
            return self

    return Mine(line_model(est), directory)


@program(THEME)
def adding_a_method(est: Any, directory: str) -> Any:
    class Mine(est.Estimator):  # type: ignore[misc, name-defined]
        def step(self) -> int:
            return int(self.get_variable_value("global_step"))

    return Mine(line_model(est), directory).train(rows(), steps=3).step()


@program(THEME)
def function_with_autograph(est: Any, directory: str) -> Any:
    @tf.function
    def scaled(x: Any, w: Any) -> Any:
        if tf.reduce_sum(x) > 2:
            return x * w
        return x + w

    def body(x: Any, y: Any) -> Any:
        return tf.reduce_mean((scaled(x, _variable("w")) - y) ** 2)

    return trained(make(est, directory, _training(est, body)), rows(), steps=3)


@program(THEME)
def gradient_tape(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        w = _variable("w")
        with tf.GradientTape() as tape:
            tape.watch(w)
            loss = tf.reduce_mean((w * features["x"] - labels) ** 2)
        slope = tape.gradient(loss, w)
        update = v1.assign_sub(w, 0.1 * slope)
        with tf.control_dependencies([update]):
            train_op = v1.assign_add(v1.train.get_global_step(), 1)
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return trained(make(est, directory, model_fn), rows(), steps=3)
