"""Forms of input functions."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from .models import X, Y, line, make, once, rows, trained, v1, variables
from .registry import add, program

THEME = "inputs"


def _numpy(est: Any, *arguments: Any, **more: Any) -> Any:
    inputs = getattr(est, "inputs", None) or v1.estimator.inputs
    return inputs.numpy_input_fn(*arguments, **more)


def _tensors() -> Any:
    return {"x": tf.constant(X)}, tf.constant(Y)


def _one_shot() -> Any:
    return v1.data.make_one_shot_iterator(rows(epochs=1)()).get_next()


def _initializable() -> Any:
    iterator = v1.data.make_initializable_iterator(rows(epochs=1)())
    v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
    return iterator.get_next()


def _generator() -> Any:
    pairs = zip(X.tolist(), Y.tolist(), strict=True)
    made = tf.data.Dataset.from_generator(
        lambda: ({"x": x} for x, _ in list(zip(X, Y, strict=True))), {"x": tf.float32}
    )
    labels = tf.data.Dataset.from_generator(lambda: iter([y for _, y in pairs]), tf.float32)
    return tf.data.Dataset.zip((made, labels)).batch(4)


def _py_function() -> Any:
    def half(x: Any, y: Any) -> Any:
        return {"x": tf.py_function(lambda v: v / 2, [x["x"]], tf.float32)}, y

    return rows(epochs=1)().map(half)


class _Callable:
    def __call__(self) -> Any:
        return rows(epochs=1)()


def _with_arguments(kind: str, params: Any = None) -> Any:
    return rows(epochs=1)()


def _params(params: Any) -> Any:
    return rows(params["batch"], 1)()


def _mode_config(mode: str, config: Any) -> Any:
    return rows(2 if mode == "train" else 8, 1)()


FORMS = {
    "dataset": rows(epochs=1),
    "dataset of arrays": once(X, Y, 4),
    "tensors": _tensors,
    "arrays": lambda: ({"x": X}, Y),
    "list of two": lambda: [{"x": tf.constant(X)}, tf.constant(Y)],
    "one shot iterator": _one_shot,
    "initializable iterator": _initializable,
    "generator": _generator,
    "py_function": _py_function,
    "callable object": _Callable(),
    "partial": functools.partial(_with_arguments, "a"),
    "mode and config": _mode_config,
    "doubles": once({"x": X.astype(np.float64)}, Y.astype(np.float64), 4),
    "integers": once({"x": np.arange(8)}, np.arange(8), 4),
    "map and filter": lambda: rows(1, 1)().filter(lambda f, _: f["x"][0] > 0.5).map(lambda f, y: (f, y + 1)),
    "prefetch and cache": lambda: rows(epochs=1)().cache().prefetch(2),
    "take": lambda: rows()().take(3),
    "unbatched": lambda: tf.data.Dataset.from_tensor_slices(({"x": X}, Y)),
    "remainder": rows(3, 1),
    "zip": lambda: tf.data.Dataset.zip((once({"x": X})(), once(Y)())),
    "concatenate": lambda: rows(epochs=1)().concatenate(rows(2, 1)()),
    "interleave": lambda: tf.data.Dataset.range(2).interleave(lambda _: rows(4, 1)(), cycle_length=2),
}


def _form(form: Any) -> Any:
    return lambda est, directory: trained(make(est, directory), form)


for _name, _input in FORMS.items():
    add(THEME, _name, _form(_input))

STEPS = {"2.0": 2.0, "int64": np.int64(2), "float32": np.float32(2.0), "1.5": 1.5, "2.9": 2.9}
for _name, _steps in STEPS.items():
    add(THEME, f"steps {_name}", lambda est, d, steps=_steps: variables(make(est, d).train(rows(), steps=steps)))
    add(THEME, f"max_steps {_name}", lambda est, d, n=_steps: variables(make(est, d).train(rows(), max_steps=n)))
    add(
        THEME,
        f"evaluate steps {_name}",
        lambda est, d, steps=_steps: make(est, d).train(rows(), steps=1).evaluate(rows(), steps=steps),
    )

BAD = {
    "nothing": lambda: None,
    "three parts": lambda: ({"x": tf.constant(X)}, tf.constant(Y), tf.constant(Y)),
    "dataset of three": lambda: tf.data.Dataset.from_tensors(({"x": X}, Y, Y)),
    "empty": rows(epochs=0),
    "raises": lambda: 1 / 0,
    "no function": 5,
    "labels missing": once({"x": X}),
    "an argument too many": lambda surplus: rows()(),
}
for _name, _input in BAD.items():
    add(THEME, f"bad {_name}", lambda est, d, form=_input: variables(make(est, d).train(form, steps=1)))


@program(THEME)
def params_to_input(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str, params: Any) -> Any:
        predicted, _, _ = line(features)
        loss = tf.reduce_mean((predicted - labels) ** 2) * params["scale"]
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, predictions=predicted, loss=loss, train_op=train_op)

    return trained(make(est, directory, model_fn, params={"batch": 2, "scale": 3.0}), _params)


@program(THEME)
def features_alone(est: Any, directory: str) -> Any:
    def model_fn(features: Any, mode: str) -> Any:
        predicted, _, _ = line(features)
        loss = tf.reduce_mean((predicted - 3) ** 2)
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, predictions=predicted, loss=loss, train_op=train_op)

    return trained(make(est, directory, model_fn), once({"x": X}, batch=4))


@program(THEME)
def labels_to_a_model_without(est: Any, directory: str) -> Any:
    def model_fn(features: Any, mode: str) -> Any:
        raise AssertionError

    return make(est, directory, model_fn).train(rows(), steps=1)


@program(THEME)
def labels_by_name(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        predicted, _, _ = line(features)
        loss = tf.reduce_mean((predicted - labels["a"] - labels["b"]) ** 2)
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return trained(make(est, directory, model_fn), once({"x": X}, {"a": Y, "b": Y + 1}, 4))


def _gather(est: Any, value_of: Any) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        w = v1.get_variable("w", [], initializer=v1.ones_initializer())
        return est.EstimatorSpec(mode, predictions={"p": value_of(features) * w})

    return model_fn


NESTS = {
    "nested features": ({"a": {"b": X, "c": Y}}, lambda f: f["a"]["b"] - f["a"]["c"]),
    "matrix": ({"x": np.stack([X, Y], 1)}, lambda f: tf.reduce_sum(f["x"], 1)),
    "text": ({"x": np.array(["a", "bc"] * 4)}, lambda f: tf.cast(tf.strings.length(f["x"]), tf.float32)),
    "truth values": ({"x": X > 0.5}, lambda f: tf.cast(f["x"], tf.float32)),
    "names with odd letters": ({"a b/c:é": X}, lambda f: f["a b/c:é"]),
    "integer names": ({0: X, 1: Y}, lambda f: f[0] + f[1]),
    "wide numbers": ({"x": np.arange(8, dtype=np.int64) << 40}, lambda f: tf.cast(f["x"] // (1 << 40), tf.float32)),
}
for _name, (_features, _value) in NESTS.items():
    add(
        THEME,
        f"predict {_name}",
        lambda est, d, f=_features, v=_value: list(make(est, d, _gather(est, v)).predict(once(f, batch=4))),
    )


@program(THEME)
def predict_sparse(est: Any, directory: str) -> Any:
    sparse = tf.sparse.SparseTensor([[0, 0], [1, 1], [2, 0]], [1.0, 2.0, 3.0], [3, 2])
    made = _gather(est, lambda f: tf.sparse.reduce_sum(f["x"], axis=1))
    return list(make(est, directory, made).predict(lambda: tf.data.Dataset.from_tensors({"x": sparse})))


@program(THEME)
def predict_ragged(est: Any, directory: str) -> Any:
    def dataset() -> Any:
        return tf.data.Dataset.from_tensors({"x": tf.ragged.constant([[1.0], [2.0, 3.0]])})

    return list(make(est, directory, _gather(est, lambda f: tf.reduce_sum(f["x"], 1))).predict(dataset))


@program(THEME)
def predict_takes_the_features_of_pairs(est: Any, directory: str) -> Any:
    return list(make(est, directory).predict(rows(epochs=1)))


@program(THEME)
def table_in_the_input(est: Any, directory: str) -> Any:
    def dataset() -> Any:
        keys = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1.0, 5.0])
        table = tf.lookup.StaticHashTable(keys, -1.0)
        return (
            tf.data.Dataset.from_tensor_slices({"x": ["a", "b", "c"]})
            .map(lambda f: {"x": table.lookup(f["x"])})
            .batch(3)
        )

    return list(make(est, directory, _gather(est, lambda f: f["x"])).predict(dataset))


NUMPY = {
    "one epoch": {"num_epochs": 1, "shuffle": False, "batch_size": 4},
    "two epochs": {"num_epochs": 2, "shuffle": False, "batch_size": 3},
    "endless": {"num_epochs": None, "shuffle": False, "batch_size": 5},
    "batch larger than the data": {"num_epochs": 1, "shuffle": False, "batch_size": 100},
    "shuffle missing": {"num_epochs": 1, "shuffle": None},
}
for _name, _arguments in NUMPY.items():
    add(
        THEME,
        f"numpy {_name}",
        lambda est, d, a=_arguments: variables(make(est, d).train(_numpy(est, {"x": X}, Y, **a), steps=6)),
    )
for _name, (_x, _y) in {
    "labels by name": ({"x": X}, {"a": Y, "b": X}),
    "no labels": ({"x": X}, None),
    "array": (X, Y),
    "lengths differ": ({"x": X}, Y[:3]),
    "empty labels": ({"x": X}, {}),
    "same name": ({"x": X}, {"x": Y}),
}.items():
    add(
        THEME,
        f"numpy predict {_name}",
        lambda est, d, x=_x, y=_y: list(
            make(est, d, _gather(est, lambda f: f["x"] if isinstance(f, dict) else f)).predict(
                _numpy(est, x, y, shuffle=False, batch_size=4)
            )
        ),
    )


@program(THEME)
def numpy_wrapped(est: Any, directory: str) -> Any:
    base = _numpy(est, {"x": X}, Y, batch_size=4, num_epochs=1, shuffle=False)

    def input_fn() -> Any:
        features, labels = base()
        return {"x": features["x"] * 2}, labels + 1

    return variables(make(est, directory).train(input_fn))


@program(THEME)
def train_twice_on_a_finite_input(est: Any, directory: str) -> Any:
    estimator = make(est, directory)
    return [variables(estimator.train(rows(4, 1), steps=steps)) for steps in (1, 3, None)]


@program(THEME)
def train_over_the_end(est: Any, directory: str) -> Any:
    return variables(make(est, directory).train(rows(4, 2), steps=100))


@program(THEME)
def evaluate_over_the_end(est: Any, directory: str) -> Any:
    return make(est, directory).train(rows(), steps=1).evaluate(rows(4, 2), steps=100)


@program(THEME)
def evaluate_all(est: Any, directory: str) -> Any:
    return make(est, directory).train(rows(), steps=1).evaluate(rows(3, 1))
