"""What EstimatorSpec fills in, checks and accepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .models import v1
from .registry import add

THEME = "specs"

c = tf.constant


def _shown(spec: Any) -> Any:
    fields = {}
    for name, value in spec._asdict().items():
        if isinstance(value, dict):
            fields[name] = sorted(value)
        else:
            fields[name] = (
                value.shape.as_list() if isinstance(value, tf.Tensor) and value.shape.rank is not None else value
            )
    return fields


def _sparse() -> Any:
    return tf.SparseTensor([[0]], [1.0], [1])


def _slices() -> Any:
    return tf.IndexedSlices(c([1.0]), c([0]))


def _elsewhere(make: Any) -> Any:
    with tf.Graph().as_default():
        return make()


def _train(est: Any, **fields: Any) -> Any:
    return est.EstimatorSpec("train", **{"loss": c(1.0), "train_op": tf.no_op(), **fields})


def _eval(est: Any, **fields: Any) -> Any:
    return est.EstimatorSpec("eval", **{"loss": c(1.0), **fields})


def _infer(est: Any, predictions: Any, **fields: Any) -> Any:
    return est.EstimatorSpec("infer", predictions, **fields)


def _output(est: Any) -> Any:
    return est.export.PredictOutput(c([1.0]))


SPECS = {
    "predictions by name": lambda e: _infer(e, {"p": c([1.0])}),
    "predictions": lambda e: _infer(e, c([1.0])),
    "evaluation": lambda e: _eval(e),
    "training": lambda e: _train(e),
    "no mode": lambda e: e.EstimatorSpec(None),
    "another mode": lambda e: e.EstimatorSpec("predict", c(1.0)),
    "loss is a number": lambda e: _eval(e, loss=1.0),
    "loss of one element": lambda e: _eval(e, loss=c([1.0])),
    "loss of one element in a matrix": lambda e: _eval(e, loss=c([[1.0]])),
    "loss of two": lambda e: _eval(e, loss=c([1.0, 2.0])),
    "loss of unknown rank": lambda e: _eval(e, loss=v1.placeholder(tf.float32)).loss.shape.rank,
    "loss of unknown length": lambda e: _eval(e, loss=v1.placeholder(tf.float32, [None])),
    "loss is sparse": lambda e: _eval(e, loss=_sparse()),
    "loss is an operation": lambda e: _eval(e, loss=tf.no_op()),
    "loss of another graph": lambda e: _eval(e, loss=_elsewhere(lambda: c(1.0))),
    "loss of another graph without a mode": lambda e: e.EstimatorSpec(None, loss=_elsewhere(lambda: c(1.0))),
    "predictions of another graph": lambda e: _infer(e, {"p": _elsewhere(lambda: c(1.0))}),
    "predictions of another graph in evaluation": lambda e: _eval(e, predictions=_elsewhere(lambda: c(1.0))),
    "train_op of another graph": lambda e: _train(e, train_op=_elsewhere(tf.no_op)),
    "metric of another graph": lambda e: _eval(e, eval_metric_ops={"a": _elsewhere(lambda: (c(1.0), tf.no_op()))}),
    "predictions are sparse": lambda e: _infer(e, {"p": _sparse()}),
    "predictions are ragged": lambda e: _infer(e, {"p": tf.ragged.constant([[1.0]])}),
    "predictions are a number": lambda e: _infer(e, {"p": 1.0}),
    "predictions are an array": lambda e: _infer(e, np.ones(2)),
    "predictions are a list": lambda e: _infer(e, [c(1.0)]),
    "predictions are nested": lambda e: _infer(e, {"a": {"b": c(1.0)}}),
    "predictions are missing": lambda e: _infer(e, None),
    "predictions are none": lambda e: _infer(e, {}),
    "train_op is a tensor": lambda e: _train(e, train_op=c(1.0)).mode,
    "train_op is text": lambda e: _train(e, train_op="x"),
    "train_op is sparse": lambda e: _train(e, train_op=_sparse()),
    "train_op is a list": lambda e: _train(e, train_op=[tf.no_op()]),
    "train_op is slices": lambda e: _train(e, train_op=_slices()),
    "train_op is missing": lambda e: _train(e, train_op=None),
    "loss is missing": lambda e: _eval(e, loss=None),
    "metrics are a list": lambda e: _eval(e, eval_metric_ops=[1]),
    "metric is a tensor": lambda e: _eval(e, eval_metric_ops={"a": c(1.0)}),
    "metric of three": lambda e: _eval(e, eval_metric_ops={"a": (c(1.0), c(1.0), c(1.0))}),
    "metric is a list": lambda e: _eval(e, eval_metric_ops={"a": [c(1.0), c(1.0)]}),
    "metric of a tuple": lambda e: _eval(e, eval_metric_ops={"a": ((c(1.0), c(2.0)), tf.no_op())}),
    "metric called loss while training": lambda e: _train(e, eval_metric_ops={"loss": (c(1.0), tf.no_op())}).mode,
    "metric of Keras never updated": lambda e: _eval(e, eval_metric_ops={"a": tf.keras.metrics.Mean()}),
    "export outputs are a list": lambda e: _infer(e, c([1.0]), export_outputs=[1]),
    "export output is a tensor": lambda e: _infer(e, c([1.0]), export_outputs={"a": c([1.0])}),
    "one export output": lambda e: _infer(e, c([1.0]), export_outputs={"a": _output(e)}),
    "two export outputs": lambda e: _infer(e, c([1.0]), export_outputs={"a": _output(e), "b": _output(e)}),
    "two export outputs with the default": lambda e: _infer(
        e, c([1.0]), export_outputs={"a": _output(e), "serving_default": _output(e)}
    ),
    "no export outputs": lambda e: _infer(e, c([1.0]), export_outputs={}),
    "export outputs while training": lambda e: _train(e, export_outputs={"a": _output(e)}),
    "scaffold is none": lambda e: _infer(e, c([1.0]), scaffold=1),
    "training hooks are none": lambda e: _train(e, training_hooks=[1]),
    "training hook not in a list": lambda e: _train(e, training_hooks=v1.train.StopAtStepHook(1)),
    "hooks of the chief are none": lambda e: _train(e, training_chief_hooks=[1]),
    "evaluation hooks are none": lambda e: _eval(e, evaluation_hooks=[1]),
    "prediction hooks are none": lambda e: _infer(e, c([1.0]), prediction_hooks=[1]),
    "replace the mode": lambda e: _eval(e)._replace(mode="train"),
    "replace the mode by itself": lambda e: _eval(e)._replace(mode="eval"),
    "replace the loss": lambda e: _eval(e)._replace(loss=c([3.0])),
    "replace the loss by two": lambda e: _eval(e)._replace(loss=c([1.0, 2.0])),
    "replace the loss by none": lambda e: _eval(e)._replace(loss=None),
    "replace predictions by a number": lambda e: _eval(e)._replace(predictions=1),
    "replace metrics by a number": lambda e: _eval(e)._replace(eval_metric_ops={"a": 1}),
    "replace train_op by none": lambda e: _train(e)._replace(train_op=None),
    "field names": lambda e: e.EstimatorSpec._fields,
}


def _in_graph(make: Any) -> Any:
    def run(est: Any, directory: str) -> Any:
        with tf.Graph().as_default():
            made = make(est)
            return _shown(made) if isinstance(made, est.EstimatorSpec) else made

    return run


for _name, _make in SPECS.items():
    add(THEME, _name, _in_graph(_make))
