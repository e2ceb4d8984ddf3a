"""Canned estimators of `tf.compat.v1.estimator`: their defaults, optimizers, losses and names."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .canned import AGE, FEATURES, KIND, REAL, TWO, age, kind, run
from .models import OLD, QUIET, FixedStart, line, once, rows, v1, variables
from .registry import add, program

THEME = "v1 canned"

fc = tf.feature_column
Reduction = v1.losses.Reduction


def old(est: Any) -> Any:
    """The namespace of `tf.compat.v1.estimator`."""
    return v1.estimator if OLD else est.v1


def _run(est: Any, d: str, cls: str, labels: Any, arguments: Any) -> Any:
    made = getattr(old(est), cls)(model_dir=d, config=old(est).RunConfig(**QUIET), **arguments)
    hooks = [] if cls.startswith("Baseline") else [FixedStart()]
    made.train(lambda: once(FEATURES, labels, 4)().repeat(), steps=3, hooks=hooks)
    return {"variables": variables(made), "metrics": made.evaluate(once(FEATURES, labels, 4))}


def _linear(**arguments: Any) -> Any:
    return lambda: {"feature_columns": [age(), kind()], **{k: _made(v) for k, v in arguments.items()}}


def _deep(**arguments: Any) -> Any:
    columns = lambda: [age(), fc.indicator_column(kind())]
    return lambda: {"hidden_units": [3, 2], "feature_columns": columns(), **{k: _made(v) for k, v in arguments.items()}}


def _wide(**arguments: Any) -> Any:
    both = lambda: {"linear_feature_columns": [kind()], "dnn_feature_columns": [age()], "dnn_hidden_units": [3]}
    return lambda: {**both(), **{k: _made(v) for k, v in arguments.items()}}


def _plain(**arguments: Any) -> Any:
    return lambda: {k: _made(v) for k, v in arguments.items()}


class _Late:
    """An argument that has to be made for each run."""

    def __init__(self, make: Any) -> None:
        self.make = make


def _made(value: Any) -> Any:
    return value.make() if isinstance(value, _Late) else value


CASES = {
    "linear defaults": ("LinearClassifier", TWO, _linear()),
    "linear regression defaults": ("LinearRegressor", REAL, _linear()),
    "linear mean": ("LinearRegressor", REAL, _linear(loss_reduction=Reduction.MEAN)),
    "linear over nonzero weights": (
        "LinearRegressor", REAL,
        _linear(loss_reduction=Reduction.SUM_BY_NONZERO_WEIGHTS, weight_column="weight"),
    ),
    "linear loss none": ("LinearRegressor", REAL, _linear(loss_reduction=Reduction.NONE)),
    "linear wrong reduction": ("LinearRegressor", REAL, _linear(loss_reduction="average")),
    "linear weighted": ("LinearClassifier", TWO, _linear(weight_column="weight")),
    "linear Ftrl by name": ("LinearRegressor", REAL, _linear(optimizer="Ftrl")),
    "linear Momentum": (
        "LinearRegressor", REAL, _linear(optimizer=_Late(lambda: v1.train.MomentumOptimizer(0.1, 0.9))),
    ),
    "linear rate that falls": (
        "LinearRegressor", REAL,
        _linear(optimizer=_Late(lambda: lambda: v1.train.FtrlOptimizer(
            v1.train.exponential_decay(0.2, v1.train.get_global_step(), 1, 0.5)))),
    ),
    "linear partitioned": (
        "LinearRegressor", REAL, _linear(partitioner=_Late(lambda: v1.fixed_size_partitioner(2))),
    ),
    "DNN defaults": ("DNNClassifier", TWO, _deep()),
    "DNN regression defaults": ("DNNRegressor", REAL, _deep()),
    "DNN batch norm": ("DNNRegressor", REAL, _deep(batch_norm=True)),
    "DNN proximal": (
        "DNNClassifier", TWO,
        _deep(optimizer=_Late(lambda: v1.train.ProximalAdagradOptimizer(0.1, l1_regularization_strength=0.001))),
    ),
    "DNN partitioned": (
        "DNNRegressor", REAL, _deep(input_layer_partitioner=_Late(lambda: v1.fixed_size_partitioner(2))),
    ),
    "combined defaults": ("DNNLinearCombinedClassifier", TWO, _wide()),
    "combined regression defaults": ("DNNLinearCombinedRegressor", REAL, _wide()),
    "combined optimizers": (
        "DNNLinearCombinedRegressor", REAL,
        _wide(linear_optimizer="SGD", dnn_optimizer=_Late(lambda: v1.train.AdamOptimizer(0.01))),
    ),
    "baseline defaults": ("BaselineClassifier", TWO, _plain()),
    "baseline regression defaults": ("BaselineRegressor", REAL, _plain()),
    "Keras optimizer": ("LinearRegressor", REAL, _linear(optimizer=_Late(lambda: tf.keras.optimizers.SGD(0.1)))),
}  # fmt: skip
for _name, (_class, _labels, _arguments) in CASES.items():
    add(THEME, _name, lambda est, d, c=_class, y=_labels, a=_arguments: _run(est, d, c, y, a()))


@program(THEME)
def by_place(est: Any, directory: str) -> Any:
    """Arguments in the places that they had in 1.x."""
    config = old(est).RunConfig(**QUIET)
    made = old(est).DNNClassifier([3], [age()], directory, 2, None, None, "SGD", tf.nn.tanh, None, None, config)
    return run(made, TWO)


@program(THEME)
def trained_on(est: Any, directory: str) -> Any:
    for _ in range(2):
        made = old(est).LinearClassifier([age()], directory, config=old(est).RunConfig(**QUIET))
        made.train(once(FEATURES, TWO), steps=2, hooks=[FixedStart()] if not made.latest_checkpoint() else None)
    return variables(made)


@program(THEME)
def warm_started(est: Any, directory: str) -> Any:
    made = old(est).LinearClassifier([age(), kind()], directory, config=old(est).RunConfig(**QUIET))
    made.train(once(FEATURES, TWO), steps=2, hooks=[FixedStart()])
    settings = old(est).WarmStartSettings(directory, vars_to_warm_start=".*kind.*")
    second = old(est).LinearClassifier([age(), kind()], directory + "2", warm_start_from=settings)
    return variables(second.train(once(FEATURES, TWO), steps=1))


@program(THEME)
def exported(est: Any, directory: str) -> Any:
    made = old(est).DNNClassifier([2], [age()], directory, config=old(est).RunConfig(**QUIET))
    made.train(once(FEATURES, TWO), steps=2, hooks=[FixedStart()])
    spec = fc.make_parse_example_spec([age()])
    receiver = old(est).export.build_parsing_serving_input_receiver_fn(spec)
    path = made.export_savedmodel(directory + "-export", receiver)
    loaded = tf.saved_model.load(path.decode(), tags=["serve"])
    example = tf.train.Example(features=tf.train.Features(feature={
        "age": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5]))})).SerializeToString()  # fmt: skip
    found = {}
    for name, signature in loaded.signatures.items():
        (key,) = signature.structured_input_signature[1]
        answer = signature(**{key: tf.constant([example])})
        found[name] = {output: value.numpy() for output, value in answer.items()}
    return found


@program(THEME)
def numpy_input(est: Any, directory: str) -> Any:
    feed = old(est).inputs.numpy_input_fn({"age": AGE}, REAL, batch_size=4, num_epochs=3, shuffle=False)
    made = old(est).LinearRegressor([age()], directory, config=old(est).RunConfig(**QUIET))
    return variables(made.train(feed, hooks=[FixedStart()]))


@program(THEME)
def pandas_input(est: Any, directory: str) -> Any:
    import pandas as pd

    frame = pd.DataFrame({"age": AGE, "kind": KIND})
    feed = old(est).inputs.pandas_input_fn(frame, pd.Series(REAL), batch_size=4, num_epochs=3, shuffle=False)
    made = old(est).LinearRegressor([age(), kind()], directory, config=old(est).RunConfig(**QUIET))
    return variables(made.train(feed, hooks=[FixedStart()]))


@program(THEME)
def own_model_fn(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        predicted, _w, _b = line(features)
        loss = v1.losses.mean_squared_error(labels, predicted)
        train_op = v1.train.AdagradOptimizer(0.2).minimize(loss, v1.train.get_or_create_global_step())
        metrics = {"rmse": v1.metrics.root_mean_squared_error(labels, predicted)}
        return old(est).EstimatorSpec(mode, predicted, loss, train_op, metrics)

    made = old(est).Estimator(model_fn, directory, old(est).RunConfig(**QUIET))
    made.train(rows(), steps=3)
    return variables(made), made.evaluate(rows(), steps=1)


@program(THEME)
def parse_example_spec(est: Any, directory: str) -> Any:
    made = old(est).classifier_parse_example_spec([age()], "y", tf.int64, 0, "w")
    return {name: [type(f).__name__, f.dtype.name] for name, f in made.items()}


@program(THEME)
def train_and_evaluate(est: Any, directory: str) -> Any:
    e = old(est)
    made = e.LinearRegressor([age()], directory, config=e.RunConfig(**QUIET))
    train = e.TrainSpec(lambda: once(FEATURES, REAL)().repeat(), max_steps=3, hooks=[FixedStart()])
    return e.train_and_evaluate(made, train, e.EvalSpec(once(FEATURES, REAL), steps=1))
