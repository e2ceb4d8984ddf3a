"""Exporters and exports."""

from __future__ import annotations

import glob
import os
from typing import Any

import numpy as np
import tensorflow as tf

from .models import X, line_model, make, rows, v1
from .registry import add, program

THEME = "exports"


def _receiver(est: Any) -> Any:
    def receive() -> Any:
        x = v1.placeholder(tf.float32, [None], name="x")
        return est.export.ServingInputReceiver({"x": x}, {"x": x})

    return receive


def _example_receiver(est: Any) -> Any:
    return est.export.build_parsing_serving_input_receiver_fn({"x": tf.io.FixedLenFeature([], tf.float32)})


def _raw_receiver(est: Any) -> Any:
    return est.export.build_raw_serving_input_receiver_fn({"x": v1.placeholder(tf.float32, [None])})


def _signatures(path: Any) -> Any:
    with tf.Graph().as_default(), v1.Session() as session:
        made = v1.saved_model.loader.load(session, ["serve"], path.decode() if isinstance(path, bytes) else path)
        return {
            name: [s.method_name, sorted(s.inputs), sorted(s.outputs)] for name, s in made.signature_def.items()
        }, sorted(v.op.name for v in v1.global_variables())


RECEIVERS = {"own": _receiver, "examples": _example_receiver}
for _name, _make in RECEIVERS.items():

    def _export(est: Any, directory: str, receiver: Any = _make) -> Any:
        estimator = make(est, directory).train(rows(), steps=2)
        return _signatures(estimator.export_saved_model(directory + "-out", receiver(est)))

    add(THEME, f"receiver {_name}", _export)


@program(THEME)
def raw(est: Any, directory: str) -> Any:
    estimator = make(est, directory).train(rows(), steps=2)
    with tf.Graph().as_default():
        receiver = _raw_receiver(est)
    path = estimator.export_saved_model(directory + "-out", receiver)
    loaded = tf.saved_model.load(path.decode())
    return {n: v.numpy() for n, v in loaded.signatures["serving_default"](x=tf.constant(X[:3])).items()}


OUTPUTS = {
    "classification": lambda est, p: {"serving_default": est.export.ClassificationOutput(scores=p[:, None])},
    "classes": lambda est, p: {
        "serving_default": est.export.ClassificationOutput(classes=tf.strings.as_string(p)[:, None])
    },
    "regression": lambda est, p: {"serving_default": est.export.RegressionOutput(p)},
    "predict": lambda est, p: {"serving_default": est.export.PredictOutput({"a": p, "b": -p})},
    "several": lambda est, p: {"serving_default": est.export.PredictOutput(p), "other": est.export.RegressionOutput(p)},
    "one of another name": lambda est, p: {"other": est.export.PredictOutput(p)},
    "classification of nothing": lambda est, p: {"serving_default": est.export.ClassificationOutput()},
    "classification of integers": lambda est, p: {
        "serving_default": est.export.ClassificationOutput(scores=tf.cast(p, tf.int32))
    },
    "regression of text": lambda est, p: {"serving_default": est.export.RegressionOutput(tf.strings.as_string(p))},
}
for _name, _outputs in OUTPUTS.items():
    for _kind, _make in RECEIVERS.items():

        def _with_outputs(est: Any, directory: str, outputs: Any = _outputs, receiver: Any = _make) -> Any:
            more = {"infer": lambda p, *_: {"export_outputs": outputs(est, p)}}
            estimator = make(est, directory, line_model(est, **more)).train(rows(), steps=1)
            return _signatures(estimator.export_saved_model(directory + "-out", receiver(est)))

        add(THEME, f"output {_name} for {_kind}", _with_outputs)


@program(THEME)
def before_training(est: Any, directory: str) -> Any:
    return make(est, directory).export_saved_model(directory + "-out", _receiver(est))


@program(THEME)
def without_receiver(est: Any, directory: str) -> Any:
    return make(est, directory).train(rows(), steps=1).export_saved_model(directory + "-out", None)


@program(THEME)
def of_a_checkpoint_that_is_not_there(est: Any, directory: str) -> Any:
    estimator = make(est, directory).train(rows(), steps=1)
    return estimator.export_saved_model(directory + "-out", _receiver(est), checkpoint_path=directory + "/none")


@program(THEME)
def assets_extra(est: Any, directory: str) -> Any:
    with open(directory + "-file", "w") as file:
        file.write("text")
    estimator = make(est, directory).train(rows(), steps=1)
    extra = {"some/where.txt": directory + "-file"}
    path = estimator.export_saved_model(directory + "-out", _receiver(est), assets_extra=extra).decode()
    return sorted(os.path.relpath(p, path) for p in glob.glob(path + "/assets.extra/**/*.txt", recursive=True))


@program(THEME)
def as_text(est: Any, directory: str) -> Any:
    estimator = make(est, directory).train(rows(), steps=1)
    path = estimator.export_saved_model(directory + "-out", _receiver(est), as_text=True).decode()
    return sorted(name for name in os.listdir(path) if name.startswith("saved_model"))


@program(THEME)
def all_modes(est: Any, directory: str) -> Any:
    def supervised() -> Any:
        x, y = v1.placeholder(tf.float32, [None]), v1.placeholder(tf.float32, [None])
        return (
            est.export.SupervisedInputReceiver({"x": x}, y, {"x": x, "y": y})
            if hasattr(est.export, "SupervisedInputReceiver")
            else None
        )

    estimator = make(est, directory).train(rows(), steps=1)
    path = estimator.experimental_export_all_saved_models(directory + "-out", {"infer": _receiver(est)})
    return _signatures(path)


@program(THEME)
def raw_supervised_receiver(est: Any, directory: str) -> Any:
    build = est.experimental.build_raw_supervised_input_receiver_fn
    with tf.Graph().as_default():
        made = build({"x": tf.zeros([1, 2])}, {"y": tf.zeros([1])})()
        return sorted(made.receiver_tensors), sorted(made.features), sorted(made.labels)


@program(THEME)
def raw_supervised_receiver_of_tensors(est: Any, directory: str) -> Any:
    build = est.experimental.build_raw_supervised_input_receiver_fn
    with tf.Graph().as_default():
        made = build(tf.zeros([1, 2]), tf.zeros([1]))()
        return sorted(made.receiver_tensors), tf.is_tensor(made.features), tf.is_tensor(made.labels)


@program(THEME)
def raw_supervised_receiver_of_one_name(est: Any, directory: str) -> Any:
    build = est.experimental.build_raw_supervised_input_receiver_fn
    with tf.Graph().as_default():
        return sorted(build({"x": tf.zeros([1])}, {"x": tf.zeros([1])})().receiver_tensors)


for _name, _features in {
    "no dict": 5, "no tensors": {"x": 5}, "empty": {}, "integer names": "integers", "a tensor": "tensor",
}.items():  # fmt: skip

    def _receive(est: Any, directory: str, features: Any = _features) -> Any:
        with tf.Graph().as_default():
            x = v1.placeholder(tf.float32, [None])
            given = {"integers": {0: x}, "tensor": x}.get(features, features) if isinstance(features, str) else features
            made = est.export.ServingInputReceiver(given, {"x": x})
            return sorted(map(str, made.features))

    add(THEME, f"receiver of {_name}", _receive)


@program(THEME)
def tensor_receiver(est: Any, directory: str) -> Any:
    def model_fn(features: Any, mode: str) -> Any:
        w = v1.get_variable("w", [], initializer=v1.ones_initializer())
        step = v1.train.get_global_step()
        return est.EstimatorSpec(mode, features * w, tf.reduce_sum(features), v1.assign_add(step, 1))

    def receive() -> Any:
        x = v1.placeholder(tf.float32, [None])
        return est.export.TensorServingInputReceiver(x, x)

    estimator = make(est, directory, model_fn).train(lambda: tf.data.Dataset.from_tensors(X))
    return _signatures(estimator.export_saved_model(directory + "-out", receive))


def _count(directory: str) -> Any:
    return (
        {
            name: len([d for d in os.listdir(os.path.join(directory, "export", name)) if d.isdigit()])
            for name in sorted(os.listdir(os.path.join(directory, "export")))
        }
        if os.path.isdir(os.path.join(directory, "export"))
        else {}
    )


def _by_curve(est: Any, curve: list[float]) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        w = v1.get_variable("w", [], initializer=v1.zeros_initializer())
        step = v1.train.get_global_step()
        if mode == "infer":
            return est.EstimatorSpec(mode, {"y": features["x"] * w})
        loss = tf.gather(tf.constant(curve, tf.float32), tf.minimum(step, len(curve) - 1))
        return est.EstimatorSpec(mode, loss=loss, train_op=v1.assign_add(step, 1))

    return model_fn


CURVE = [9.0, 8.0, 7.0, 9.0, 6.0]
EXPORTERS = {
    "final": lambda est, r: est.FinalExporter("final", r),
    "latest": lambda est, r: est.LatestExporter("latest", r),
    "latest keeps two": lambda est, r: est.LatestExporter("latest", r, exports_to_keep=2),
    "latest keeps all": lambda est, r: est.LatestExporter("latest", r, exports_to_keep=None),
    "latest keeps none": lambda est, r: est.LatestExporter("latest", r, exports_to_keep=0),
    "best": lambda est, r: est.BestExporter("best", r),
    "best by more": lambda est, r: est.BestExporter(
        "best", r, compare_fn=lambda best_eval_result, current_eval_result: best_eval_result["loss"]
        < current_eval_result["loss"]
    ),
    "best of a wrong comparison": lambda est, r: est.BestExporter("best", r, compare_fn=lambda a, b: True),
    "best keeps one": lambda est, r: est.BestExporter("best", r, exports_to_keep=1),
    "two": lambda est, r: [est.FinalExporter("final", r), est.LatestExporter("latest", r)],
    "two of one name": lambda est, r: [est.FinalExporter("same", r), est.LatestExporter("same", r)],
}  # fmt: skip
for _name, _exporter in EXPORTERS.items():

    def _train(est: Any, directory: str, exporter: Any = _exporter) -> Any:
        estimator = make(est, directory, _by_curve(est, CURVE), {"save_checkpoints_steps": 1})
        made = exporter(est, _receiver(est))
        est.train_and_evaluate(
            estimator,
            est.TrainSpec(rows(), max_steps=4),
            est.EvalSpec(rows(), steps=1, throttle_secs=0, exporters=made),
        )
        return _count(directory)

    add(THEME, f"exporter {_name}", _train)


@program(THEME)
def exporter_best_with_a_history(est: Any, directory: str) -> Any:
    config = {"save_checkpoints_steps": 1}
    spec = est.EvalSpec(rows(), steps=1, throttle_secs=0)
    est.train_and_evaluate(
        make(est, directory, _by_curve(est, CURVE), config), est.TrainSpec(rows(), max_steps=2), spec
    )
    made = est.BestExporter("best", _receiver(est))
    spec = est.EvalSpec(rows(), steps=1, throttle_secs=0, exporters=made)
    counts = []
    for limit in (3, 4):
        est.train_and_evaluate(
            make(est, directory, _by_curve(est, CURVE), config), est.TrainSpec(rows(), max_steps=limit), spec
        )
        counts.append(_count(directory))
    return counts


@program(THEME)
def canned_signatures(est: Any, directory: str) -> Any:
    column = tf.feature_column.numeric_column("x")
    found = {}
    for name, labels, more in (
        ("LinearClassifier", np.int64([0, 1] * 4), {}),
        ("LinearRegressor", X, {}),
        ("BaselineClassifier", np.int64([0, 1, 2, 0] * 2), {"n_classes": 3}),
    ):
        arguments = {"feature_columns": [column]} if name.startswith("Linear") else {}
        estimator = getattr(est, name)(model_dir=f"{directory}-{name}", **arguments, **more)
        estimator.train(lambda y=labels: tf.data.Dataset.from_tensors(({"x": X}, y)))
        path = estimator.export_saved_model(f"{directory}-{name}-out", _example_receiver(est))
        found[name] = _signatures(path)[0]
    return found
