"""Metrics in eval_metric_ops, and what evaluate gives and writes."""

from __future__ import annotations

import glob
import os
from typing import Any

import numpy as np
import tensorflow as tf

from .models import line_model, make, once, rows, v1
from .registry import add

THEME = "metrics"

m = v1.metrics
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.6, 0.9, 0.2, 0.7], np.float32)
TRUTH = np.array([0, 0, 1, 1, 0, 1, 1, 1], np.int64)

STREAMING = {
    "mean": lambda y, p: m.mean(p),
    "mean weighted": lambda y, p: m.mean(p, weights=y),
    "accuracy": lambda y, p: m.accuracy(y, p > 0.5),
    "auc": lambda y, p: m.auc(y, p),
    "auc pr": lambda y, p: m.auc(y, p, curve="PR"),
    "precision": lambda y, p: m.precision(y, p > 0.5),
    "recall": lambda y, p: m.recall(y, p > 0.5),
    "mean_squared_error": lambda y, p: m.mean_squared_error(y, p),
    "root_mean_squared_error": lambda y, p: m.root_mean_squared_error(tf.cast(y, tf.float32), p),
    "mean_absolute_error": lambda y, p: m.mean_absolute_error(y, p),
    "mean_relative_error": lambda y, p: m.mean_relative_error(tf.cast(y, tf.float32), p, p + 1),
    "mean_cosine_distance": lambda y, p: m.mean_cosine_distance(tf.cast(y, tf.float32), p, 0),
    "mean_iou": lambda y, p: m.mean_iou(y, tf.cast(p > 0.5, tf.int64), 2),
    "mean_per_class_accuracy": lambda y, p: m.mean_per_class_accuracy(y, tf.cast(p > 0.5, tf.int64), 2),
    "false_positives": lambda y, p: m.false_positives(y, p > 0.5),
    "false_negatives": lambda y, p: m.false_negatives(y, p > 0.5),
    "true_positives_at_thresholds": lambda y, p: m.true_positives_at_thresholds(y, p, [0.3, 0.7]),
    "percentage_below": lambda y, p: m.percentage_below(p, 0.5),
    "precision_at_thresholds": lambda y, p: m.precision_at_thresholds(y, p, [0.3, 0.7]),
    "recall_at_thresholds": lambda y, p: m.recall_at_thresholds(y, p, [0.3, 0.7]),
    "sensitivity_at_specificity": lambda y, p: m.sensitivity_at_specificity(y, p, 0.5),
    "specificity_at_sensitivity": lambda y, p: m.specificity_at_sensitivity(y, p, 0.5),
    "precision_at_k": lambda y, p: m.precision_at_k(y[:, None], tf.stack([1 - p, p], 1), 1),
    "recall_at_k": lambda y, p: m.recall_at_k(y[:, None], tf.stack([1 - p, p], 1), 1),
    "mean_tensor": lambda y, p: m.mean_tensor(tf.stack([tf.reduce_mean(p), tf.reduce_max(p)])),
    "tuple value": lambda y, p: ((m.mean(p)[0], tf.constant(2.0)), tf.no_op()),
    "dict value": lambda y, p: ({"a": tf.constant(1.0), "b": tf.constant([2, 3])}, tf.no_op()),
    "text value": lambda y, p: (tf.constant("text"), tf.no_op()),
    "update of several": lambda y, p: (m.mean(p)[0], (m.mean(y)[1], tf.no_op())),
    "truth value": lambda y, p: (tf.constant(True), tf.no_op()),
    "global_step": lambda y, p: m.mean(p),
    "loss": lambda y, p: m.mean(p),
}
KERAS = {
    "Mean": lambda k: (k.Mean(), lambda o, y, p: o.update_state(p)),
    "Accuracy": lambda k: (k.BinaryAccuracy(), lambda o, y, p: o.update_state(y, p)),
    "AUC": lambda k: (k.AUC(), lambda o, y, p: o.update_state(y, p)),
    "Precision": lambda k: (k.Precision(), lambda o, y, p: o.update_state(y, p)),
    "Recall weighted": lambda k: (k.Recall(), lambda o, y, p: o.update_state(y, p, sample_weight=p)),
    "MeanSquaredError": lambda k: (k.MeanSquaredError(), lambda o, y, p: o.update_state(y, p)),
    "updated twice": lambda k: (k.Mean(), lambda o, y, p: [o.update_state(p), o.update_state(y)]),
    "never updated": lambda k: (k.Mean(), lambda o, y, p: None),
}


def _model_fn(est: Any, name: str, metric_of: Any) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return est.EstimatorSpec(
            mode, loss=tf.reduce_mean(features["p"]), eval_metric_ops={name: metric_of(labels, features["p"])}
        )

    return model_fn


def _evaluate(est: Any, directory: str, name: str, metric_of: Any) -> Any:
    return make(est, directory, _model_fn(est, name, metric_of)).evaluate(once({"p": SCORES}, TRUTH, 4))


for _name, _metric in STREAMING.items():
    add(THEME, _name, lambda est, d, n=_name, metric=_metric: _evaluate(est, d, n, metric))
for _name, _maker in KERAS.items():

    def _keras(labels: Any, scores: Any, maker: Any = _maker) -> Any:
        metric, update = maker(tf.keras.metrics)
        update(metric, labels, scores)
        return metric

    add(THEME, f"Keras {_name}", lambda est, d, metric=_keras: _evaluate(est, d, "mine", metric))


def _values(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(glob.glob(os.path.join(directory, "events*"))):
        for event in v1.train.summary_iterator(path):
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                content = tf.make_ndarray(value.tensor) if kind == "tensor" else None
                found[value.tag] = value.simple_value if kind == "simple_value" else [kind, content]
    return found


WRITTEN = {
    "number": lambda y, p: m.mean(p),
    "integer": lambda y, p: (tf.constant(3), tf.no_op()),
    "vector": lambda y, p: (tf.constant([1.0, 2.0]), tf.no_op()),
    "matrix": lambda y, p: (tf.constant([[1.0], [2.0]]), tf.no_op()),
    "tuple": lambda y, p: ((tf.constant(1.0), tf.constant(2.0)), tf.no_op()),
    "text": lambda y, p: (tf.constant("no summary"), tf.no_op()),
    "truth": lambda y, p: (tf.constant(True), tf.no_op()),
    "summary": lambda y, p: (v1.summary.scalar("inner", tf.constant(4.0)), tf.no_op()),
    "histogram": lambda y, p: (v1.summary.histogram("inner", tf.constant([4.0])), tf.no_op()),
    "image": lambda y, p: (v1.summary.image("inner", tf.zeros([2, 2, 2, 1])), tf.no_op()),
    "merged": lambda y, p: (
        v1.summary.merge([v1.summary.scalar("one", tf.constant(1.0)), v1.summary.scalar("two", tf.constant(2.0))]),
        tf.no_op(),
    ),
}
for _name, _metric in WRITTEN.items():

    def _written(est: Any, directory: str, name: str = _name, metric: Any = _metric) -> Any:
        estimator = make(est, directory, _model_fn(est, name, metric))
        estimator.evaluate(once({"p": SCORES}, TRUTH, 4), name="some")
        found = _values(estimator.eval_dir("some"))
        return {tag: value if not isinstance(value, list) else value[0] for tag, value in found.items()}

    add(THEME, f"written {_name}", _written)


def _evaluate_untrained(est: Any, directory: str) -> Any:
    return make(est, directory, line_model(est)).evaluate(rows(), steps=1)


add(THEME, "evaluate before training", _evaluate_untrained)
add(THEME, "evaluate of several names", lambda est, d: sorted(
    os.path.basename(os.path.dirname(p)) for name in (None, "a", "b")
    if make(est, d).evaluate(rows(), steps=1, name=name) for p in glob.glob(make(est, d).eval_dir(name) + "/events*")
))  # fmt: skip


def _own_mean(est: Any, directory: str) -> Any:
    def metric(labels: Any, scores: Any) -> Any:
        total = v1.get_local_variable("total", [], initializer=v1.zeros_initializer())
        return total, v1.assign_add(total, tf.reduce_sum(scores))

    return _evaluate(est, directory, "sum", metric)


add(THEME, "own local variable", _own_mean)
add(THEME, "loss of unequal batches", lambda est, d: make(est, d).train(rows(), steps=1).evaluate(rows(5, 1)))
add(THEME, "add_metrics", lambda est, d: est.add_metrics(
    make(est, d).train(rows(), steps=1),
    lambda labels, predictions: {"mae": m.mean_absolute_error(labels, predictions["y"])},
).evaluate(rows(4, 1)))  # fmt: skip
add(THEME, "add_metrics replaces", lambda est, d: est.add_metrics(
    make(est, d, line_model(est, eval=lambda p, y, *_: {"eval_metric_ops": {"a": m.mean(y)}})).train(rows(), steps=1),
    lambda features: {"a": m.mean(features["x"])},
).evaluate(rows(4, 1)))  # fmt: skip
add(THEME, "add_metrics with a wrong argument", lambda est, d: est.add_metrics(make(est, d), lambda other: {}))
