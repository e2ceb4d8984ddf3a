"""model_to_estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .models import QUIET, once, sgd, v1, variables
from .registry import add

THEME = "Keras models"

keras = tf.keras
F = np.float32([[0.0], [0], [1], [1]])
L = np.float32([[0], [1], [0], [1]])
W = np.float32([0, 0.4, 1, 1])


def _line(**arguments: Any) -> Any:
    x = keras.Input((1,), name="x")
    model = keras.Model(x, keras.layers.Dense(1, kernel_initializer="ones", name="d")(x))
    model.compile(**{"optimizer": sgd(0.1), "loss": "mean_absolute_error", **arguments})
    return model


def _two_inputs() -> Any:
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    model = keras.Model(
        [a, b], keras.layers.Dense(1, kernel_initializer="ones", name="d")(keras.layers.Subtract()([a, b]))
    )
    model.compile(sgd(0.1), "mse")
    return model


def _two_outputs(**arguments: Any) -> Any:
    x = keras.Input((1,), name="x")
    outputs = [keras.layers.Dense(1, kernel_initializer="ones", name=name)(x) for name in ("a", "b")]
    model = keras.Model(x, outputs)
    model.compile(**{"optimizer": sgd(0.1), "loss": "mse", **arguments})
    return model


def _sequential(*layers: Any) -> Any:
    model = keras.Sequential(
        [keras.Input((1,), name="x"), *layers, keras.layers.Dense(1, kernel_initializer="ones", name="d")]
    )
    model.compile(sgd(0.1), "mse")
    return model


def _fitted() -> Any:
    model = _line()
    model.layers[-1].set_weights([np.float32([[2.0]]), np.float32([0.5])])
    return model


class _Sub(keras.Model):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__(name="sub")
        self.d = keras.layers.Dense(1, kernel_initializer="ones", name="d")

    def call(self, inputs: Any) -> Any:
        return self.d(inputs)


def _subclassed() -> Any:
    model = _Sub()
    model.compile(sgd(0.1), "mse")
    return model


def _convert(est: Any, d: str, model: Any, **more: Any) -> Any:
    config = est.RunConfig(**QUIET)
    convert = getattr(est, "model_to_estimator", None) or tf.keras.estimator.model_to_estimator
    return convert(model, model_dir=d, config=config, **{"checkpoint_format": "saver", **more})


DATA = {
    "rows": ({"x": F}, L),
    "array": (F, L),
    "weights": ({"features": F, "sample_weights": W}, L),
    "weights by name": ({"features": {"x": F}, "sample_weights": W}, L),
    "a wrong name": ({"wrong": F}, L),
    "a name more": ({"x": F, "y": F}, L),
    "features alone": ({"features": F}, L),
}
EVALUATIONS = {
    "plain": (_line, "rows"),
    "array": (_line, "array"),
    "weights": (_line, "weights"),
    "weights by name": (_line, "weights by name"),
    "weights and metrics": (lambda: _line(metrics=["mae"]), "weights"),
    "a wrong name": (_line, "a wrong name"),
    "a name more": (_line, "a name more"),
    "features alone": (_line, "features alone"),
    "metrics": (lambda: _line(metrics=["mse", "mae", keras.metrics.MeanSquaredError(name="q")]), "rows"),
    "accuracy": (lambda: _line(metrics=["accuracy"]), "rows"),
    "own loss": (lambda: _line(loss=lambda y, p: tf.reduce_mean((y - p) ** 2)), "rows"),
    "sequential": (_sequential, "rows"),
    "batch norm": (lambda: _sequential(keras.layers.BatchNormalization(name="bn")), "rows"),
    "fitted": (_fitted, "rows"),
    "subclassed": (_subclassed, "array"),
}
for _name, (_model, _data) in EVALUATIONS.items():

    def _evaluate(est: Any, d: str, model: Any = _model, data: str = _data) -> Any:
        estimator = _convert(est, d, model())
        before = estimator.evaluate(once(*DATA[data]))
        estimator.train(lambda: once(*DATA[data])().repeat(), steps=2)
        return before, variables(estimator), estimator.evaluate(once(*DATA[data]))

    add(THEME, _name, _evaluate)

PREDICTIONS = {
    "untrained": (_line, {"x": F}),
    "fitted": (_fitted, {"x": F}),
    "two inputs": (_two_inputs, {"b": F, "a": F + 2}),
    "two inputs, one wrong": (_two_inputs, {"b": F, "wrong": F}),
    "two inputs, one missing": (_two_inputs, {"b": F}),
    "two outputs": (_two_outputs, {"x": F}),
    "a wrong name": (_line, {"wrong": F}),
}
for _name, (_model, _features) in PREDICTIONS.items():
    add(THEME, f"predict {_name}", lambda est, d, m=_model, f=_features: list(_convert(est, d, m()).predict(once(f))))

OUTPUTS = {
    "loss alone": {},
    "metrics for all": {"metrics": ["mae"]},
    "metrics by name": {"metrics": {"a": "mae", "b": ["mse"]}},
    "weights of losses": {"loss_weights": [1.0, 0.5]},
    "losses by name": {"loss": {"a": "mse", "b": "mae"}},
}
for _name, _arguments in OUTPUTS.items():
    add(
        THEME,
        f"two outputs {_name}",
        lambda est, d, a=_arguments: _convert(est, d, _two_outputs(**a)).evaluate(once({"x": F}, {"a": L, "b": L + 1})),
    )


def _exported(est: Any, d: str) -> Any:
    def receive() -> Any:
        x = v1.placeholder(tf.float32, [None, 1])
        return est.export.ServingInputReceiver({"x": x}, {"x": x})

    path = _convert(est, d, _fitted()).export_saved_model(d + "-out", receive).decode()
    answer = tf.saved_model.load(path).signatures["serving_default"](x=tf.constant(F))
    return {name: value.numpy() for name, value in answer.items()}


add(THEME, "export before training", _exported)
BAD = {
    "nothing": lambda est, d: _convert(est, d, None),
    "a number": lambda est, d: _convert(est, d, 5),
    "not compiled": lambda est, d: _convert(est, d, keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])),
    "another format": lambda est, d: _convert(est, d, _line(), checkpoint_format="pickle"),
    "config of another kind": lambda est, d: getattr(
        est, "model_to_estimator", None) and est.model_to_estimator(_line(), config={})
    or tf.keras.estimator.model_to_estimator(_line(), config={}),
    "metric of another name": lambda est, d: _convert(
        est, d, _line(metrics=["mae"]), metric_names_map={"none": "x"}).evaluate(once(F, L)),
    "three parts": lambda est, d: _convert(est, d, _line()).train(lambda: tf.data.Dataset.from_tensors((F, L, W))),
}  # fmt: skip
for _name, _call in BAD.items():
    add(THEME, f"bad {_name}", _call)
add(THEME, "metric of a new name", lambda est, d: _convert(
    est, d, _line(metrics=["mae"]), metric_names_map={"mae": "error"}).evaluate(once(F, L)))  # fmt: skip
for _name in ("Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl"):

    def _optimized(est: Any, d: str, name: str = _name) -> Any:
        kinds = keras.optimizers.legacy if hasattr(tf, "estimator") and tf.__version__ < "2.16" else keras.optimizers
        estimator = _convert(est, d, _line(optimizer=getattr(kinds, name)(0.1)))
        estimator.train(lambda: once(F, L)().repeat(), steps=3)
        return {n: v for n, v in variables(estimator).items() if n in ("d/kernel", "d/bias", "global_step")}

    add(THEME, f"optimizer {_name}", _optimized)
