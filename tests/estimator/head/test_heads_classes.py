"""Heads for classes: losses, predictions and metrics with the arithmetic shown."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.graph_session import in_graph, metric_values

LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)
_LOGITS = [[0.0], [LN3]]  # logistic 1/2 and 3/4


def _loss(head, labels, logits, **features) -> float:
    def build():
        named = {key: tf.constant(value) for key, value in features.items()}
        return head.loss(_tensor(labels), tf.constant(logits, tf.float32), named)

    return float(in_graph(build))


def _tensor(value):
    return value() if callable(value) else tf.constant(value)


def test_binary_loss_is_mean_cross_entropy():
    # Label 1 at logit 0: ln 2. Label 0 at logit ln 3: ln(1 + 3) = ln 4. Mean.
    assert _loss(est.BinaryClassHead(), [[1], [0]], _LOGITS) == pytest.approx((LN2 + LN4) / 2)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("sum", LN2 + 3 * LN4),
        ("SUM", LN2 + 3 * LN4),
        ("sum_over_batch_size", (LN2 + 3 * LN4) / 2),
        ("weighted_mean", (LN2 + 3 * LN4) / 4),
        ("weighted_sum_by_nonzero_weights", (LN2 + 3 * LN4) / 2),
    ],
)
def test_weights_and_reduction_of_the_loss(reduction, expected):
    # Losses ln 2 and ln 4 with weights 1 and 3.
    head = est.BinaryClassHead(weight_column="w", loss_reduction=reduction)
    assert _loss(head, [[1], [0]], _LOGITS, w=[1.0, 3.0]) == pytest.approx(expected)


def test_weight_column_may_be_a_numeric_column_with_normalizer():
    column = tf.feature_column.numeric_column("w", normalizer_fn=lambda w: w * 2.0)
    # Weights 2 and 6: (2 ln 2 + 6 ln 4) / 2.
    assert _loss(est.BinaryClassHead(weight_column=column), [[1], [0]], _LOGITS, w=[1.0, 3.0]) == pytest.approx(
        LN2 + 3 * LN4
    )


def test_label_vocabulary_gives_class_numbers():
    head = est.BinaryClassHead(label_vocabulary=["no", "yes"])
    assert _loss(head, ["yes", "no"], _LOGITS) == pytest.approx((LN2 + LN4) / 2)


def test_custom_loss_fn_is_used():
    def loss_fn(labels, logits):
        return tf.abs(labels - logits)

    # |1 - 0| and |0 - ln 3|, mean.
    assert _loss(est.BinaryClassHead(loss_fn=loss_fn), [[1], [0]], _LOGITS) == pytest.approx((1 + LN3) / 2)


def test_regularization_losses_are_added():
    def build():
        return est.BinaryClassHead().loss(
            tf.constant([[1], [0]]), tf.constant(_LOGITS), regularization_losses=[tf.constant(1.5), tf.constant(0.25)]
        )

    assert in_graph(build) == pytest.approx((LN2 + LN4) / 2 + 1.75)


def test_binary_predictions():
    predictions = in_graph(
        lambda: est.BinaryClassHead(label_vocabulary=["no", "yes"]).predictions(tf.constant(_LOGITS))
    )
    np.testing.assert_allclose(predictions["logistic"], [[0.5], [0.75]], rtol=1e-6)
    np.testing.assert_allclose(predictions["probabilities"], [[0.5, 0.5], [0.25, 0.75]], rtol=1e-6)
    assert predictions["class_ids"].tolist() == [[0], [1]]
    assert predictions["classes"].tolist() == [[b"no"], [b"yes"]]
    assert predictions["all_class_ids"].tolist() == [[0, 1], [0, 1]]
    assert predictions["all_classes"].tolist() == [[b"no", b"yes"], [b"no", b"yes"]]


def test_binary_metrics():
    head = est.BinaryClassHead(thresholds=[0.4], name="h")

    def update():
        return head.update_metrics(
            head.metrics([tf.constant(2.0)]),
            {},
            tf.constant(_LOGITS),
            tf.constant([[1], [0]]),
            regularization_losses=[tf.constant(2.0)],
        )

    values = metric_values(update)
    # Classes 0 and 1 are answered where 1 and 0 are right. At threshold 0.4 both rows are above: one of two is right.
    expected = {
        "average_loss": (LN2 + LN4) / 2,
        "accuracy": 0.0,
        "precision": 0.0,
        "recall": 0.0,
        "prediction/mean": 0.625,
        "label/mean": 0.5,
        "accuracy_baseline": 0.5,
        "auc": 0.0,
        "regularization_loss": 2.0,
        "accuracy/positive_threshold_0.4": 0.5,
        "precision/positive_threshold_0.4": 0.5,
        "recall/positive_threshold_0.4": 1.0,
    }
    for name, value in expected.items():
        assert values[f"{name}/h"] == pytest.approx(value, abs=1e-5), name
    assert set(values) == {f"{name}/h" for name in [*expected, "auc_precision_recall"]}


def test_multi_class_loss_and_predictions():
    head = est.MultiClassHead(3)
    logits = [[0.0, 0.0, math.log(2)], [math.log(8), 0.0, 0.0]]
    # Softmax (1, 1, 2)/4 and (8, 1, 1)/10: -ln of the label's share: ln 2 for label 2, ln 10 for label 1.
    assert _loss(head, [2, 1], logits) == pytest.approx((LN2 + math.log(10)) / 2)
    predictions = in_graph(lambda: head.predictions(tf.constant(logits)))
    np.testing.assert_allclose(predictions["probabilities"], [[0.25, 0.25, 0.5], [0.8, 0.1, 0.1]], rtol=1e-5)
    assert predictions["classes"].tolist() == [[b"2"], [b"0"]]


def test_multi_label_loss_averages_over_classes():
    head = est.MultiLabelHead(2)
    # Row 0, labels (1, 0), logits (0, ln 3): (ln 2 + ln 4)/2. Row 1, labels (1, 1), logits 0: ln 2.
    assert _loss(head, [[1, 0], [1, 1]], [[0.0, LN3], [0.0, 0.0]]) == pytest.approx(((LN2 + LN4) / 2 + LN2) / 2)


def test_multi_label_takes_sparse_names():
    head = est.MultiLabelHead(2, label_vocabulary=["p", "q"])

    def labels():
        return tf.SparseTensor([[0, 0], [1, 0], [1, 1]], ["p", "q", "p"], [2, 2])

    assert _loss(head, labels, [[0.0, LN3], [0.0, 0.0]]) == pytest.approx(((LN2 + LN4) / 2 + LN2) / 2)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: est.MultiClassHead(2), "n_classes must be > 2"),
        (lambda: est.MultiLabelHead(1), "n_classes must be > 1"),
        (lambda: est.BinaryClassHead(thresholds=[1.0]), r"\(0, 1\) range"),
        (lambda: est.BinaryClassHead(loss_reduction="none"), "Invalid loss_reduction"),
        (lambda: est.BinaryClassHead(label_vocabulary="ab"), "list or tuple"),
        (lambda: est.MultiClassHead(3, label_vocabulary=["a"]), "must be n_classes"),
        (lambda: est.BinaryClassHead(loss_fn=lambda logits: logits), "must contain argument: labels"),
        (lambda: est.BinaryClassHead(loss_fn=lambda labels, logits, other: logits), "unexpected args"),
        (lambda: est.MultiLabelHead(2, classes_for_class_based_metrics=["a"]), "label_vocabulary must be provided"),
        (lambda: est.MultiLabelHead(2, classes_for_class_based_metrics=[2]), r"in range \[0, 1\]"),
    ],
)
def test_wrong_arguments_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    ("head", "labels", "match"),
    [
        (est.BinaryClassHead(), ["a", "b"], "label_vocabulary"),
        (est.BinaryClassHead(label_vocabulary=["a", "b"]), [0, 1], "dtype should be string"),
        (est.MultiClassHead(3), [0.0, 1.0], "dtype should be integer"),
        (est.MultiClassHead(3), [[0, 1], [1, 2]], "labels shape must be"),
    ],
)
def test_labels_that_can_not_fit_are_refused_when_the_graph_is_built(head, labels, match):
    with tf.Graph().as_default(), pytest.raises(ValueError, match=match):
        head.loss(tf.constant(labels), tf.zeros([2, head.logits_dimension]))


@pytest.mark.parametrize(
    ("head", "labels", "match"),
    [
        (est.BinaryClassHead(), [0, 2], "Labels must be"),
        (est.MultiClassHead(3), [0, 3], "Labels must be"),
        (est.MultiClassHead(3), [-1, 0], "Labels must be"),
        (est.MultiClassHead(3, label_vocabulary=["a", "b", "c"]), ["a", "d"], "label_vocabulary"),
    ],
)
def test_labels_out_of_range_stop_the_run(head, labels, match):
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        in_graph(lambda: head.loss(tf.constant(labels), tf.zeros([2, head.logits_dimension])))


def test_missing_labels_and_weights_are_named():
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="must provide a labels Tensor"):
            est.BinaryClassHead().loss(None, tf.zeros([2, 1]))
        with pytest.raises(KeyError, match="'w' is not in features"):
            est.BinaryClassHead(weight_column="w").loss(tf.constant([1, 0]), tf.zeros([2, 1]), {})
        with pytest.raises(TypeError, match="string or numeric_column"):
            est.BinaryClassHead(weight_column=3).loss(tf.constant([1, 0]), tf.zeros([2, 1]), {})
        with pytest.raises(ValueError, match="logits_dimension=1"):
            est.BinaryClassHead().loss(tf.constant([1, 0]), tf.zeros([2, 3]))
