"""Streaming metrics against numbers worked out by hand."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.estimator.graph_session import metric_values
from tf_estimator.metrics import AUC, Accuracy, AccuracyBaseline, Mean, Precision, Recall

_LABELS = [[1.0], [1.0], [0.0], [0.0]]
_SCORES = [[0.9], [0.4], [0.6], [0.2]]


def _value(metric_class, *arguments, **settings) -> float:
    def update():
        metric = metric_class(**settings)
        metric.update_state(*[tf.constant(a) for a in arguments])
        return {"value": metric}

    return metric_values(update)["value"]


def test_mean_weights_its_values():
    # (1*1 + 4*3) / (1 + 3) = 13/4
    assert _value(Mean, [[1.0], [4.0]], [[1.0], [3.0]]) == pytest.approx(3.25)


def test_mean_spreads_weights_of_rows_over_columns():
    # (1 + 2)*1 + (3 + 5)*2 = 19, over 2*1 + 2*2 = 6
    assert _value(Mean, [[1.0, 2.0], [3.0, 5.0]], [[1.0], [2.0]]) == pytest.approx(19 / 6)


def test_accuracy_weights_hits():
    # Hits on rows 0 and 2, of weights 2 and 1, out of 2 + 3 + 1 = 6.
    assert _value(Accuracy, [[1.0], [0.0], [2.0]], [[1], [1], [2]], [[2.0], [3.0], [1.0]]) == pytest.approx(0.5)


def test_accuracy_baseline_answers_the_more_frequent_class():
    # One label of four is 1: always answering 0 is right three times of four.
    assert _value(AccuracyBaseline, [[1.0], [0.0], [0.0], [0.0]]) == pytest.approx(0.75)


def test_precision_and_recall_at_a_threshold():
    # Above 0.5: rows 0 (label 1) and 2 (label 0): precision 1/2; of two labels 1 one is found: recall 1/2.
    assert _value(Precision, _LABELS, _SCORES) == pytest.approx(0.5)
    assert _value(Recall, _LABELS, _SCORES) == pytest.approx(0.5)
    # Above 0.3 row 1 comes in too: precision 2/3, recall 2/2.
    assert _value(Precision, _LABELS, _SCORES, threshold=0.3) == pytest.approx(2 / 3)
    assert _value(Recall, _LABELS, _SCORES, threshold=0.3) == pytest.approx(1.0)


def test_precision_without_positives_is_zero():
    assert _value(Precision, [[1.0]], [[0.1]]) == 0.0


def test_auc_is_the_share_of_pairs_in_order():
    # Pairs (label 1, label 0): .9>.6, .9>.2, .4<.6, .4>.2: three of four.
    assert _value(AUC, _LABELS, _SCORES) == pytest.approx(0.75, abs=1e-4)


def test_auc_weights_rows():
    # Row 1 (label 1, score .4) has weight 3: pairs 1*1 + 1*1 + 0 + 3*1 = 5 of (1 + 3) * 2 = 8.
    assert _value(AUC, _LABELS, _SCORES, [[1.0], [3.0], [1.0], [1.0]]) == pytest.approx(5 / 8, abs=1e-4)


def test_auc_of_precision_and_recall_of_a_perfect_order_is_one():
    assert _value(AUC, _LABELS, [[0.9], [0.8], [0.1], [0.2]], curve="PR") == pytest.approx(1.0, abs=1e-4)


def test_unknown_curve_is_refused():
    with pytest.raises(ValueError, match="'ROC' or 'PR'"):
        AUC(curve="F1")


def test_metric_without_update_is_refused():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="update_state"):
        Mean("m").value_and_update()


def test_shares_as_labels_count_as_true() -> None:
    # As in the old library: a label of 0.3 is not 0, so that all rows are positive, and so is what is found.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        precision = Precision("precision")
        precision.update_state(tf.constant([0.3, 0.9]), tf.constant([0.8, 0.2]))
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(tf.compat.v1.local_variables_initializer())
        session.run(precision.updates)
        assert session.run(precision.result()) == 1.0
