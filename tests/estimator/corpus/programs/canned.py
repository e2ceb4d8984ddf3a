"""Canned estimators: kinds, arguments, metrics and predictions. All start at the values of `FixedStart`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .models import QUIET, FixedStart, once, sgd, variables
from .registry import add, program

THEME = "canned"

fc = tf.feature_column
AGE = np.float32([1, 2, 3, 4, 5, 6, 7, 8]) / 4
KIND = np.array(["a", "b", "c", "a", "b", "c", "a", "x"])
TWO = np.int64([0, 1, 0, 1, 1, 0, 1, 1])
THREE = np.int64([0, 1, 2, 1, 2, 0, 1, 2])
REAL = AGE * 3 - 1
WEIGHT = np.float32([1, 2, 1, 0, 1, 0.5, 1, 3])
FEATURES = {"age": AGE, "kind": KIND, "weight": WEIGHT}


def age() -> Any:
    return fc.numeric_column("age")


def kind() -> Any:
    return fc.categorical_column_with_vocabulary_list("kind", ["a", "b", "c"])


def _config(est: Any) -> Any:
    return est.RunConfig(**QUIET)


def run(estimator: Any, labels: Any, steps: int = 3, hooks: Any = None) -> Any:
    """Two batches of four rows in turn; values, metrics and the first two predictions."""
    hooks = [FixedStart()] if hooks is None else hooks
    estimator.train(lambda: once(FEATURES, labels, 4)().repeat(), steps=steps, hooks=hooks)
    metrics = estimator.evaluate(once(FEATURES, labels, 4))
    predicted = list(estimator.predict(once(FEATURES, batch=2)))[:2]
    values = {n: v for n, v in variables(estimator).items() if not n.startswith("training/")}
    return {"variables": values, "metrics": metrics, "predictions": predicted}


def linear(est: Any, cls: str, d: str, labels: Any, columns: Any = None, **arguments: Any) -> Any:
    arguments = {"optimizer": sgd(0.1), **arguments}
    made = getattr(est, cls)(columns or [age(), kind()], model_dir=d, config=_config(est), **arguments)
    return run(made, labels)


LINEAR = {
    "binary": ("LinearClassifier", TWO, {}),
    "binary weighted": ("LinearClassifier", TWO, {"weight_column": "weight"}),
    "binary weighted by a column": ("LinearClassifier", TWO, {"weight_column": "numeric"}),
    "three classes": ("LinearClassifier", THREE, {"n_classes": 3}),
    "vocabulary": ("LinearClassifier", np.array(["n", "y"])[TWO], {"label_vocabulary": ["n", "y"]}),
    "three classes of a vocabulary": ("LinearClassifier", KIND[[0, 1, 2, 3, 4, 5, 6, 0]],
                                      {"n_classes": 3, "label_vocabulary": ["a", "b", "c"]}),
    "unknown word": ("LinearClassifier", KIND, {"n_classes": 3, "label_vocabulary": ["a", "b", "c"]}),
    "label out of range": ("LinearClassifier", THREE, {}),
    "negative label": ("LinearClassifier", TWO - 1, {}),
    "float labels": ("LinearClassifier", TWO.astype(np.float32), {}),
    "text labels without a vocabulary": ("LinearClassifier", KIND, {"n_classes": 3}),
    "one class": ("LinearClassifier", TWO, {"n_classes": 1}),
    "labels in a column": ("LinearClassifier", TWO[:, None], {}),
    "labels of two columns": ("LinearClassifier", np.stack([TWO, TWO], 1), {}),
    "sum": ("LinearClassifier", TWO, {"loss_reduction": "sum"}),
    "reduction none": ("LinearClassifier", TWO, {"loss_reduction": "none"}),
    "mean combiner": ("LinearClassifier", TWO, {"sparse_combiner": "mean"}),
    "sqrtn combiner": ("LinearClassifier", TWO, {"sparse_combiner": "sqrtn"}),
    "regression": ("LinearRegressor", REAL, {}),
    "regression weighted": ("LinearRegressor", REAL, {"weight_column": "weight"}),
    "regression of two": ("LinearRegressor", np.stack([REAL, -REAL], 1), {"label_dimension": 2}),
    "regression of a wrong width": ("LinearRegressor", REAL, {"label_dimension": 2}),
    "regression sum": ("LinearRegressor", REAL, {"loss_reduction": "sum"}),
    "regression of integers": ("LinearRegressor", THREE, {}),
    "regression of doubles": ("LinearRegressor", REAL.astype(np.float64), {}),
    "Ftrl by name": ("LinearRegressor", REAL, {"optimizer": "Ftrl"}),
    "Adagrad by name": ("LinearRegressor", REAL, {"optimizer": "Adagrad"}),
    "SGD by name": ("LinearRegressor", REAL, {"optimizer": "SGD"}),
    "Adam by name": ("LinearRegressor", REAL, {"optimizer": "Adam"}),
    "RMSProp by name": ("LinearRegressor", REAL, {"optimizer": "RMSProp"}),
    "unknown optimizer": ("LinearRegressor", REAL, {"optimizer": "Nothing"}),
    "optimizer that is none": ("LinearRegressor", REAL, {"optimizer": 5}),
    "optimizer from a function": ("LinearRegressor", REAL, {"optimizer": lambda: sgd(0.2)}),
    "momentum": ("LinearRegressor", REAL, {"optimizer": lambda: sgd(0.1, momentum=0.9)}),
    "clipped": ("LinearRegressor", REAL, {"optimizer": lambda: sgd(0.1, clipnorm=0.1)}),
}  # fmt: skip


def _reduced(arguments: Any) -> Any:
    made = dict(arguments)
    if made.get("weight_column") == "numeric":
        made["weight_column"] = fc.numeric_column("weight")
    return made


for _name, (_class, _labels, _arguments) in LINEAR.items():
    add(THEME, f"linear {_name}", lambda est, d, c=_class, y=_labels, a=_arguments: linear(est, c, d, y, **_reduced(a)))

BASELINE = {
    "binary": ("BaselineClassifier", TWO, {}),
    "three classes": ("BaselineClassifier", THREE, {"n_classes": 3}),
    "weighted": ("BaselineClassifier", TWO, {"weight_column": "weight"}),
    "regression": ("BaselineRegressor", REAL, {}),
    "regression of two": ("BaselineRegressor", np.stack([REAL, -REAL], 1), {"label_dimension": 2}),
    "default optimizer": ("BaselineRegressor", REAL, {"optimizer": "Ftrl"}),
}
for _name, (_class, _labels, _arguments) in BASELINE.items():

    def _baseline(est: Any, d: str, c: str = _class, y: Any = _labels, a: Any = _arguments) -> Any:
        return run(getattr(est, c)(model_dir=d, config=_config(est), **{"optimizer": sgd(0.1), **a}), y, hooks=[])

    add(THEME, f"baseline {_name}", _baseline)


def _dense() -> list[Any]:
    return [age(), fc.indicator_column(kind())]


def deep(est: Any, cls: str, d: str, labels: Any, **arguments: Any) -> Any:
    arguments = {"hidden_units": [3, 2], "optimizer": sgd(0.1), **arguments}
    return run(getattr(est, cls)(feature_columns=_dense(), model_dir=d, config=_config(est), **arguments), labels)


DEEP = {
    "binary": ("DNNClassifier", TWO, {}),
    "three classes": ("DNNClassifier", THREE, {"n_classes": 3}),
    "weighted": ("DNNClassifier", TWO, {"weight_column": "weight"}),
    "vocabulary": ("DNNClassifier", np.array(["n", "y"])[TWO], {"label_vocabulary": ["n", "y"]}),
    "regression": ("DNNRegressor", REAL, {}),
    "regression of two": ("DNNRegressor", np.stack([REAL, -REAL], 1), {"label_dimension": 2}),
    "tanh": ("DNNRegressor", REAL, {"activation_fn": tf.nn.tanh}),
    "batch norm": ("DNNRegressor", REAL, {"batch_norm": True}),
    "one layer": ("DNNRegressor", REAL, {"hidden_units": [4]}),
    "no layer": ("DNNRegressor", REAL, {"hidden_units": []}),
    "Adagrad by name": ("DNNRegressor", REAL, {"optimizer": "Adagrad"}),
    "optimizer that is none": ("DNNRegressor", REAL, {"optimizer": object()}),
}
for _name, (_class, _labels, _arguments) in DEEP.items():
    add(THEME, f"DNN {_name}", lambda est, d, c=_class, y=_labels, a=_arguments: deep(est, c, d, y, **a))


def wide(est: Any, cls: str, d: str, labels: Any, **arguments: Any) -> Any:
    both = {"linear_feature_columns": [kind()], "dnn_feature_columns": [age()], "dnn_hidden_units": [3]}
    both |= {"linear_optimizer": sgd(0.1), "dnn_optimizer": sgd(0.05)}
    return run(getattr(est, cls)(model_dir=d, config=_config(est), **{**both, **arguments}), labels)


WIDE = {
    "binary": ("DNNLinearCombinedClassifier", TWO, {}),
    "three classes": ("DNNLinearCombinedClassifier", THREE, {"n_classes": 3}),
    "regression": ("DNNLinearCombinedRegressor", REAL, {}),
    "linear part alone": ("DNNLinearCombinedRegressor", REAL, {"dnn_feature_columns": None, "dnn_hidden_units": None}),
    "deep part alone": ("DNNLinearCombinedRegressor", REAL, {"linear_feature_columns": None}),
    "no part": ("DNNLinearCombinedRegressor", REAL, {"linear_feature_columns": None, "dnn_feature_columns": None}),
    "no hidden units": ("DNNLinearCombinedRegressor", REAL, {"dnn_hidden_units": None}),
    "optimizers by name": (
        "DNNLinearCombinedRegressor",
        REAL,
        {"linear_optimizer": "Ftrl", "dnn_optimizer": "Adagrad"},
    ),
}
for _name, (_class, _labels, _arguments) in WIDE.items():
    add(THEME, f"combined {_name}", lambda est, d, c=_class, y=_labels, a=_arguments: wide(est, c, d, y, **a))


@program(THEME)
def parse_example_spec(est: Any, directory: str) -> Any:
    made = est.classifier_parse_example_spec([age(), kind()], "y", label_dtype=tf.int64, weight_column="w")
    return {name: [type(f).__name__, f.dtype.name] for name, f in made.items()}


@program(THEME)
def regressor_parse_example_spec(est: Any, directory: str) -> Any:
    made = est.regressor_parse_example_spec([age()], "y", label_dimension=2)
    return {name: [type(f).__name__, f.dtype.name, list(f.shape)] for name, f in made.items()}


@program(THEME)
def label_among_the_features(est: Any, directory: str) -> Any:
    return sorted(est.regressor_parse_example_spec([age()], "age"))


@program(THEME)
def no_columns(est: Any, directory: str) -> Any:
    return est.LinearRegressor([], model_dir=directory).train(once(FEATURES, REAL), steps=1)


@program(THEME)
def a_feature_less(est: Any, directory: str) -> Any:
    return est.LinearRegressor([fc.numeric_column("other")], model_dir=directory).train(once(FEATURES, REAL), steps=1)


@program(THEME)
def text_in_a_numeric_column(est: Any, directory: str) -> Any:
    return est.LinearRegressor([fc.numeric_column("kind")], model_dir=directory).train(once(FEATURES, REAL), steps=1)


@program(THEME)
def no_labels(est: Any, directory: str) -> Any:
    return est.LinearRegressor([age()], model_dir=directory).train(once(FEATURES), steps=1)


@program(THEME)
def features_that_are_no_dict(est: Any, directory: str) -> Any:
    return est.LinearRegressor([age()], model_dir=directory).train(once(AGE, REAL), steps=1)


@program(THEME)
def dense_columns_wanted(est: Any, directory: str) -> Any:
    made = est.DNNRegressor([2], [kind()], model_dir=directory)
    return made.train(once(FEATURES, REAL), steps=1)


@program(THEME)
def column_that_is_none(est: Any, directory: str) -> Any:
    return est.LinearRegressor(["age"], model_dir=directory).train(once(FEATURES, REAL), steps=1)


@program(THEME)
def the_same_column_twice(est: Any, directory: str) -> Any:
    return est.LinearRegressor([age(), age()], model_dir=directory).train(once(FEATURES, REAL), steps=1)


for _class in ("LinearEstimator", "DNNEstimator", "BaselineEstimator"):

    def _with_head(est: Any, d: str, c: str = _class) -> Any:
        head = est.RegressionHead(label_dimension=1)
        arguments = {"LinearEstimator": {"feature_columns": [age()]}, "BaselineEstimator": {},
                     "DNNEstimator": {"feature_columns": [age()], "hidden_units": [2]}}[c]  # fmt: skip
        made = getattr(est, c)(head=head, model_dir=d, config=_config(est), optimizer=sgd(0.1), **arguments)
        return run(made, REAL, hooks=[] if c == "BaselineEstimator" else None)

    add(THEME, f"{_class} with a head", _with_head)
