"""EstimatorSpec: what each mode needs, and of which type."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

import tf_estimator as est

v1 = tf.compat.v1
TRAIN, EVAL, PREDICT = est.ModeKeys.TRAIN, est.ModeKeys.EVAL, est.ModeKeys.PREDICT


class Output:
    """The one method by which an export output is known."""

    def as_signature_def(self, receiver_tensors: Any) -> None:
        return None


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
    made = est.EstimatorSpec(PREDICT, predictions=one)
    assert (made.eval_metric_ops, made.training_hooks, made.loss, made.export_outputs) == ({}, (), None, None)


def test_loss_is_made_a_scalar() -> None:
    assert est.EstimatorSpec(EVAL, loss=tf.constant([[2.0]])).loss.shape == []
    assert est.EstimatorSpec(EVAL, loss=2.0).loss.dtype == tf.float32
    with pytest.raises(ValueError, match="must be a scalar"):
        est.EstimatorSpec(EVAL, loss=tf.constant([1.0, 2.0]))


def test_a_single_export_output_becomes_the_default() -> None:
    one, output = tf.constant(1.0), Output()
    made = est.EstimatorSpec(PREDICT, predictions=one, export_outputs={"a": output})
    assert made.export_outputs == {"a": output, "serving_default": output}
    with pytest.raises(ValueError, match="serving_default"):
        est.EstimatorSpec(PREDICT, predictions=one, export_outputs={"a": output, "b": output})


@pytest.mark.parametrize(
    "field",
    [
        {"predictions": "text"}, {"predictions": {"a": 1}}, {"train_op": "text"}, {"eval_metric_ops": [1]},
        {"eval_metric_ops": {"a": 1}}, {"export_outputs": [1]}, {"export_outputs": {"a": 1}}, {"scaffold": 1},
        {"training_hooks": [1]}, {"training_chief_hooks": [1]}, {"evaluation_hooks": [1]}, {"prediction_hooks": [1]},
    ],
    ids=lambda f: next(iter(f)),
)  # fmt: skip
def test_wrong_types_are_refused(field: dict[str, Any]) -> None:
    given = {"loss": tf.constant(1.0), "train_op": tf.no_op(), "predictions": tf.constant(1.0), **field}
    with pytest.raises(TypeError, match=next(iter(field))):
        est.EstimatorSpec(TRAIN, **given)
