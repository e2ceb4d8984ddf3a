"""EstimatorSpec: what each mode needs, and of which type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tf_estimator.metrics import Mean

v1 = tf.compat.v1
TRAIN, EVAL, PREDICT = est.ModeKeys.TRAIN, est.ModeKeys.EVAL, est.ModeKeys.PREDICT


@pytest.fixture(autouse=True)
def graph() -> Any:
    with tf.Graph().as_default() as made:
        yield made


def test_each_mode_needs_its_fields() -> None:
    one = tf.constant(1.0)
    with pytest.raises(ValueError, match="`train_op`"):
        est.EstimatorSpec(TRAIN, loss=one)
    for mode in (TRAIN, EVAL):
        with pytest.raises(ValueError, match="`loss`"):
            est.EstimatorSpec(mode, train_op=one)
    with pytest.raises(ValueError, match="`predictions`"):
        est.EstimatorSpec(PREDICT)
    with pytest.raises(ValueError, match="mode must be one of"):
        est.EstimatorSpec("predict", predictions=one)
    made = est.EstimatorSpec(EVAL, loss=one)
    assert (made.eval_metric_ops, made.training_hooks, made.predictions, made.export_outputs) == ({}, (), {}, None)
    assert est.EstimatorSpec(None).mode is None


def test_scaffold_and_export_outputs_are_filled_in() -> None:
    made = est.EstimatorSpec(PREDICT, predictions={"a": tf.constant([1.0])})
    assert isinstance(made.scaffold, v1.train.Scaffold)
    assert list(made.export_outputs) == ["serving_default"]
    assert list(made.export_outputs["serving_default"].outputs) == ["a"]


def test_loss_is_made_a_scalar() -> None:
    assert est.EstimatorSpec(EVAL, loss=tf.constant([[2.0]])).loss.shape == []
    unknown = v1.placeholder(tf.float32)
    assert est.EstimatorSpec(EVAL, loss=unknown).loss is unknown
    with pytest.raises(ValueError, match="must be a scalar"):
        est.EstimatorSpec(EVAL, loss=tf.constant([1.0, 2.0]))


def test_a_single_export_output_becomes_the_default() -> None:
    one = tf.constant([1.0])
    output = est.export.PredictOutput(one)
    made = est.EstimatorSpec(PREDICT, predictions=one, export_outputs={"a": output})
    assert made.export_outputs == {"a": output, "serving_default": output}
    with pytest.raises(ValueError, match="serving_default"):
        est.EstimatorSpec(PREDICT, predictions=one, export_outputs={"a": output, "b": output})
    trained = est.EstimatorSpec(TRAIN, loss=tf.constant(1.0), train_op=tf.no_op(), export_outputs={"a": output})
    assert trained.export_outputs == {"a": output}


def test_replace_checks_as_the_constructor_does() -> None:
    made = est.EstimatorSpec(EVAL, predictions={"a": tf.constant([1.0])}, loss=tf.constant(1.0))
    assert made._replace(loss=tf.constant([3.0])).loss.shape == []
    assert made._replace(mode=EVAL) == made
    for fields, error in (
        ({"mode": TRAIN}, ValueError), ({"loss": tf.constant([1.0, 2.0])}, ValueError), ({"loss": None}, ValueError),
        ({"predictions": 1}, TypeError), ({"eval_metric_ops": {"a": 1}}, TypeError), ({"other": 1}, ValueError),
    ):  # fmt: skip
        with pytest.raises(error):
            made._replace(**fields)


def test_what_belongs_to_another_graph_is_refused() -> None:
    with tf.Graph().as_default():
        other, operation = tf.constant(1.0), tf.no_op()
    one = tf.constant(1.0)
    for fields in (
        {"mode": EVAL, "loss": other},
        {"mode": None, "loss": other},
        {"mode": PREDICT, "predictions": {"a": other}},
        {"mode": EVAL, "predictions": other, "loss": one},
        {"mode": TRAIN, "loss": one, "train_op": operation},
        {"mode": EVAL, "loss": one, "eval_metric_ops": {"a": (other, tf.no_op())}},
        {"mode": EVAL, "loss": one, "eval_metric_ops": {"a": (one, operation)}},
    ):
        with pytest.raises(ValueError, match="must be from the default graph"):
            est.EstimatorSpec(**fields)


def test_names_that_evaluate_uses_itself_are_refused_in_evaluation() -> None:
    one = tf.constant(1.0)
    for name in ("loss", "global_step"):
        metrics = {name: (one, tf.no_op())}
        with pytest.raises(ValueError, match=name):
            est.EstimatorSpec(EVAL, loss=one, eval_metric_ops=metrics)
        est.EstimatorSpec(TRAIN, loss=one, train_op=tf.no_op(), eval_metric_ops=metrics)


@pytest.mark.parametrize("make", [lambda: tf.keras.metrics.Mean(), lambda: Mean("mean")], ids=["Keras", "ours"])
def test_a_metric_that_was_never_updated_is_refused(make: Any) -> None:
    one, metric = tf.constant(1.0), make()
    with pytest.raises(ValueError, match="never updated"):
        est.EstimatorSpec(EVAL, loss=one, eval_metric_ops={"a": metric})
    metric.update_state(one)
    est.EstimatorSpec(EVAL, loss=one, eval_metric_ops={"a": metric})


@pytest.mark.parametrize(
    "field",
    [
        {"predictions": "text"}, {"predictions": {"a": 1}}, {"train_op": "text"}, {"eval_metric_ops": [1]},
        {"loss": 1.0},
        {"eval_metric_ops": {"a": 1}}, {"export_outputs": [1]}, {"export_outputs": {"a": 1}}, {"scaffold": 1},
        {"eval_metric_ops": {"a": [1, 2]}}, {"eval_metric_ops": {"a": (1.0, 2.0)}},
        {"training_hooks": [1]}, {"training_chief_hooks": [1]}, {"evaluation_hooks": [1]}, {"prediction_hooks": [1]},
    ],
    ids=lambda f: next(iter(f)),
)  # fmt: skip
def test_wrong_types_are_refused(field: dict[str, Any]) -> None:
    given = {"loss": tf.constant(1.0), "train_op": tf.no_op(), "predictions": tf.constant(1.0), **field}
    with pytest.raises(TypeError, match=next(iter(field))):
        est.EstimatorSpec(TRAIN, **given)


@pytest.mark.parametrize("make", [
    lambda: tf.sparse.from_dense([1.0]), lambda: tf.ragged.constant([[1.0]]),
    lambda: tf.IndexedSlices(tf.constant([1.0]), tf.constant([0])), lambda: [tf.constant(1.0)], lambda: np.ones(2),
])  # fmt: skip
def test_only_dense_tensors_are_taken(make: Any) -> None:
    part, one = make(), tf.constant(1.0)
    for fields in ({"predictions": part}, {"predictions": {"a": part}}, {"train_op": part}, {"loss": part}):
        with pytest.raises(TypeError, match="must be a"):
            est.EstimatorSpec(TRAIN, **{"loss": one, "train_op": tf.no_op(), **fields})
