"""The end of an input that is made of graph tensors: no update happens once more in the step that finds no batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

v1, keras = tf.compat.v1, tf.keras


def iterator_input() -> Any:
    """x = 0, 1 | 2, 3 and y = 1: two batches of a size that the graph knows."""
    rows = {"x": np.arange(4.0, dtype=np.float32)[:, None], "y": np.ones([4, 1], np.float32)}
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(2, drop_remainder=True)
    features = v1.data.make_one_shot_iterator(dataset).get_next()
    return features, features.pop("y")


def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
    step = v1.train.get_or_create_global_step()
    metrics: dict[str, Any] = {}
    if mode == est.ModeKeys.EVAL:
        mean, accuracy = keras.metrics.Mean(), keras.metrics.BinaryAccuracy()
        squares, area = keras.metrics.MeanSquaredError(), keras.metrics.AUC()
        mean.update_state(features["x"])
        accuracy.update_state(labels, tf.ones_like(labels))
        squares.update_state(labels, labels + 2.0)
        area.update_state(tf.cast(features["x"] > 1.5, tf.float32), features["x"] / 3)
        batches = v1.get_local_variable("batches", [], initializer=tf.zeros_initializer(), use_resource=True)
        metrics = {"mean": mean, "accuracy": accuracy, "squares": squares, "area": area}
        metrics["old_mean"] = v1.metrics.mean(features["x"])
        metrics["batches"] = (batches.read_value(), batches.assign_add(1.0))
    return est.EstimatorSpec(
        mode, loss=tf.reduce_mean(features["x"]), train_op=step.assign_add(1), eval_metric_ops=metrics
    )


@pytest.mark.parametrize("steps", [None, 2, 5])
def test_metrics_count_each_batch_once(tmp_path: Path, steps: int | None) -> None:
    estimator = est.Estimator(model_fn, str(tmp_path))
    estimator.train(iterator_input, steps=1)
    metrics = estimator.evaluate(iterator_input, steps=steps)
    # mean of 0, 1, 2, 3; (1 - 3)² = 4; scores 0, 1/3 of the class 0 and 2/3, 1 of the class 1 part the classes
    expected = {"mean": 1.5, "accuracy": 1.0, "squares": 4.0, "area": 1.0, "old_mean": 1.5, "batches": 2.0}
    assert {name: float(metrics[name]) for name in expected} == pytest.approx(expected)
    assert metrics["loss"] == pytest.approx(1.5)  # of 0.5 and 2.5


def test_metrics_count_each_batch_once_with_a_hook_at_every_step(tmp_path: Path) -> None:
    class Look(v1.train.SessionRunHook):
        def before_run(self, run_context: Any) -> Any:
            return v1.train.SessionRunArgs(v1.train.get_global_step())

    estimator = est.Estimator(model_fn, str(tmp_path))
    estimator.train(iterator_input, steps=1)
    metrics = estimator.evaluate(iterator_input, hooks=[Look()])
    assert (metrics["mean"], metrics["batches"]) == (1.5, 2.0)


def test_batch_of_a_python_function_counts_once(tmp_path: Path) -> None:
    def input_fn() -> Any:
        left = iter([1.0, 3.0])

        def give() -> Any:
            return np.full([2, 1], next(left), np.float32)  # StopIteration is the end of the input

        x = tf.numpy_function(give, [], tf.float32)
        x.set_shape([2, 1])
        return {"x": x}, tf.ones([2, 1])

    estimator = est.Estimator(model_fn, str(tmp_path))
    estimator.train(input_fn)
    assert estimator.get_variable_value("global_step") == 2
    metrics = estimator.evaluate(input_fn)
    assert (metrics["mean"], metrics["accuracy"], metrics["batches"]) == (2.0, 1.0, 2.0)


@pytest.mark.parametrize("hooked", [False, True])
def test_global_step_counts_each_batch_once(tmp_path: Path, hooked: bool) -> None:
    # The counter takes nothing of the batch: it could be raised in the step that finds the end of the input.
    estimator = est.Estimator(model_fn, str(tmp_path))
    hooks = [est.hooks.LoggingTensorHook({"step": "global_step:0"}, every_n_iter=1)] if hooked else []
    estimator.train(iterator_input, hooks=hooks)
    assert estimator.get_variable_value("global_step") == 2


def test_canned_estimators_average_over_the_rows_that_there_are(tmp_path: Path) -> None:
    columns = [tf.feature_column.numeric_column("x")]
    classifier = est.LinearClassifier(columns, str(tmp_path / "classifier"))
    classifier.train(iterator_input, steps=1)
    metrics = classifier.evaluate(iterator_input)
    assert (metrics["label/mean"], metrics["accuracy_baseline"]) == (1.0, 1.0)
    regressor = est.DNNRegressor([2], columns, str(tmp_path / "regressor"))
    regressor.train(iterator_input, steps=1)
    assert regressor.evaluate(iterator_input)["label/mean"] == 1.0
