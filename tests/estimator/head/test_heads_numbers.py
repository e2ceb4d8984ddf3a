"""Heads for numbers, several heads, heads over steps, and the spec that they make."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.graph_session import in_graph, metric_values

v1 = tf.compat.v1


def test_regression_loss_is_mean_squared_error():
    # (1-0)² + (2-4)² = 1 + 4; (3-3)² + (0-1)² = 0 + 1; mean over four numbers: 6/4.
    loss = in_graph(
        lambda: est.RegressionHead(2).loss(tf.constant([[1.0, 2.0], [3.0, 0.0]]), tf.constant([[0.0, 4.0], [3.0, 1.0]]))
    )
    assert loss == pytest.approx(1.5)


def test_regression_weights_per_row_and_per_label():
    logits, labels = [[0.0, 4.0], [3.0, 1.0]], [[1.0, 2.0], [3.0, 0.0]]
    head = est.RegressionHead(2, weight_column="w", loss_reduction="sum")
    # Squares 1, 4 | 0, 1. Rows weigh 2 and 3: 2*5 + 3*1 = 13; labels weigh (1, 2), (3, 4): 1 + 8 + 0 + 4 = 13 too.
    for weights in ([2.0, 3.0], [[1.0, 2.0], [3.0, 4.0]]):
        loss = in_graph(lambda w=weights: head.loss(tf.constant(labels), tf.constant(logits), {"w": tf.constant(w)}))
        assert loss == pytest.approx(13.0)


def test_poisson_loss_is_exp_minus_product():
    # exp(z) - y z: z = 0, y = 2: 1; z = ln 3, y = 1: 3 - ln 3. Mean.
    head = est.PoissonRegressionHead(compute_full_loss=False)
    loss = in_graph(lambda: head.loss(tf.constant([2.0, 1.0]), tf.constant([[0.0], [math.log(3)]])))
    assert loss == pytest.approx((1 + 3 - math.log(3)) / 2)
    predictions = in_graph(lambda: head.predictions(tf.constant([[math.log(3)]])))
    assert predictions["predictions"] == pytest.approx(3.0)
    assert predictions["logits"] == pytest.approx(math.log(3))


def test_logistic_regression_takes_shares():
    # Label 1/4 at logit ln 3: ln 4 - ln 3 / 4.
    head = est.LogisticRegressionHead()
    loss = in_graph(lambda: head.loss(tf.constant([0.25]), tf.constant([[math.log(3)]])))
    assert loss == pytest.approx(math.log(4) - math.log(3) / 4)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"range \[0, 1\]"):
        in_graph(lambda: head.loss(tf.constant([2.0]), tf.constant([[0.0]])))


def test_regression_metrics_weight_labels_and_predictions():
    head = est.RegressionHead(weight_column="w")

    def update():
        return head.update_metrics(
            head.metrics(), {"w": tf.constant([1.0, 3.0])}, tf.constant([[1.0], [3.0]]), tf.constant([2.0, 5.0])
        )

    # Weights 1 and 3: (1*1 + 3*4)/4, (1*1 + 3*3)/4, (1*2 + 3*5)/4.
    assert metric_values(update) == pytest.approx({"average_loss": 3.25, "prediction/mean": 2.5, "label/mean": 4.25})


def test_regression_arguments_are_checked():
    with pytest.raises(ValueError, match="label_dimension 0"):
        est.RegressionHead(0)


def _two_heads(**weights):
    return est.MultiHead([est.RegressionHead(name="a"), est.RegressionHead(2, name="b")], **weights)


def test_multi_head_adds_weighted_losses():
    head = _two_heads(head_weights=[2.0, 0.5])
    # Logits (1 | 2, 3), labels 0 and (0, 1): losses 1 and (4 + 4)/2 = 4; 2*1 + 0.5*4 = 4.
    labels = {"a": [[0.0]], "b": [[0.0, 1.0]]}
    loss = in_graph(lambda: head.loss({k: tf.constant(v) for k, v in labels.items()}, tf.constant([[1.0, 2.0, 3.0]])))
    assert loss == pytest.approx(4.0)
    assert head.name == "a_b"
    assert head.logits_dimension == 3


def test_multi_head_predictions_outputs_and_metrics_carry_the_head():
    head = _two_heads()
    with tf.Graph().as_default():
        predictions = head.predictions(tf.constant([[1.0, 2.0, 3.0]]))
        outputs = head.export_outputs(predictions)
        metrics = head.metrics()
    assert set(predictions) == {("a", "predictions"), ("b", "predictions")}
    expected = {"serving_default", "predict", "a", "a/regression", "a/predict", "b", "b/regression", "b/predict"}
    assert set(outputs) == expected
    assert set(outputs["predict"].outputs) == {"a/predictions", "b/predictions"}
    names = {"loss", "average_loss", "prediction/mean", "label/mean"}
    assert set(metrics) == {f"{name}/{of}" for name in names for of in "ab"}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: est.MultiHead([]), "Must specify heads"),
        (lambda: est.MultiHead([est.RegressionHead()]), "must have name"),
        (lambda: _two_heads(head_weights=[1.0]), "same size"),
        (lambda: est.MultiHead([est.RegressionHead(name="a")] * 2), "different names"),
        (lambda: est.SequentialHeadWrapper(_two_heads()), "not supported"),
    ],
)
def test_wrong_compositions_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_multi_head_checks_labels_and_logits():
    head = _two_heads()
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match=r"labels has missing values for head\(s\): \['b'\]"):
            head.loss({"a": tf.zeros([1, 1])}, tf.zeros([1, 3]))
        with pytest.raises(ValueError, match="labels must be a dict"):
            head.loss(tf.zeros([1, 1]), tf.zeros([1, 3]))
        with pytest.raises(ValueError, match="Could not split logits"):
            head.predictions(tf.zeros([1, 4]))
        with pytest.raises(ValueError, match="logits has missing values"):
            head.predictions({"a": tf.zeros([1, 1])})


def test_sequential_head_leaves_padding_out():
    head = est.SequentialHeadWrapper(est.RegressionHead(weight_column="w"), "mask", "w")
    logits = [[[1.0], [2.0]], [[3.0], [99.0]]]
    labels = [[0.0, 0.0], [1.0, 99.0]]

    def build():
        features = {
            "mask": tf.constant([[True, True], [True, False]]),
            "w": tf.SparseTensor([[0, 0], [0, 1], [1, 0]], [1.0, 1.0, 2.0], [2, 2]),
        }
        return head.loss(tf.constant(labels), tf.constant(logits), features)

    # Steps (1-0)² + (2-0)² + 2*(3-1)² = 13, over three steps.
    assert in_graph(build) == pytest.approx(13 / 3)
    with tf.Graph().as_default(), pytest.raises(ValueError, match="sequence_length_mask key `mask`"):
        head.loss(tf.constant(labels), tf.constant(logits), {})
    with pytest.raises(TypeError, match="must be a string"):
        est.SequentialHeadWrapper(est.RegressionHead(), feature_columns=[1])


def _spec(mode, **arguments):
    weight = v1.get_variable("weight", initializer=1.0)
    logits = tf.ones([2, 1]) * weight
    return est.RegressionHead().create_estimator_spec({}, mode, logits, labels=tf.constant([3.0, 3.0]), **arguments)


def test_spec_trains_with_an_optimizer_and_raises_the_global_step():
    def build():
        ran = v1.get_variable("ran", initializer=0.0)
        spec = _spec("train", optimizer="SGD", update_ops=[ran.assign_add(1.0)])
        values = {v.op.name: v for v in v1.global_variables()}
        with tf.control_dependencies([spec.train_op]):
            return {name: values[name].read_value() for name in ("weight", "global_step", "ran")}

    # Loss (w - 3)², gradient 2 (1 - 3) = -4, rate 0.01: w = 1.04.
    assert in_graph(build) == pytest.approx({"weight": 1.04, "global_step": 1, "ran": 1.0})


def test_spec_uses_train_op_fn():
    assert in_graph(lambda: _spec("train", train_op_fn=lambda loss: loss * 10).train_op) == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "cannot both be None"),
        ({"optimizer": "SGD", "train_op_fn": lambda loss: loss}, "cannot both be set"),
        ({"optimizer": "SGD", "trainable_variables": {}}, "trainable_variables should be a list"),
        ({"optimizer": "SGD", "update_ops": {}}, "update_ops should be a list"),
        ({"optimizer": 3}, "not an optimizer"),
        ({"optimizer": "Adagard"}, "Supported names"),
    ],
)
def test_spec_checks_its_training_arguments(arguments, match):
    with tf.Graph().as_default(), pytest.raises(ValueError, match=match):
        _spec("train", **arguments)


def test_spec_refuses_an_unknown_mode_and_prediction_key():
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="unrecognized"):
            _spec("other")
        with pytest.raises(ValueError, match="Prediction key"):
            est.RegressionHead().predictions(tf.zeros([1, 1]), ["logistic"])


def test_spec_of_predict_names_its_signatures():
    with tf.Graph().as_default():
        spec = _spec("infer")
    assert {name: sorted(output.outputs) for name, output in spec.export_outputs.items()} == {
        "serving_default": ["outputs"],
        "regression": ["outputs"],
        "predict": ["predictions"],
    }
    np.testing.assert_array_equal(list(spec.predictions), ["predictions"])
