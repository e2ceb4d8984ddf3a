"""Area under the ROC or the precision-recall curve, from a histogram of scores."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import Metric, broadcast_weights

_SMALL = 1e-6


class AUC(Metric):
    """Area under a curve that is known at evenly spaced thresholds.

    A score s in [0, 1] is above threshold i/(n-1) for every i < ⌈s (n-1)⌉; so a histogram with n buckets, and its sums
    from the right, give the counts at all thresholds. The ROC curve is a polygon through the thresholds; between two
    of them on the precision-recall curve, the true positives are taken as linear in the positives (Davis, Goadrich
    2006), or with `trapezoidal` it is a polygon as well.

    Args:
        curve: "ROC" or "PR".
        num_thresholds: n, 200 as in Keras.
        trapezoidal: whether the precision-recall curve is a polygon, as in `tf.compat.v1.metrics.auc`.

    Raises:
        ValueError: an unknown curve.
    """

    def __init__(
        self, name: str = "auc", curve: str = "ROC", num_thresholds: int = 200, *, trapezoidal: bool = False
    ) -> None:
        if curve not in {"ROC", "PR"}:
            raise ValueError(f"curve must be 'ROC' or 'PR', not {curve!r}.")
        super().__init__(name)
        self.curve = curve
        self.trapezoidal = trapezoidal
        self.num_thresholds = num_thresholds
        self.histogram = self._add_variable("histogram", (num_thresholds, 2))

    def result(self) -> tf.Tensor:
        above = tf.cumsum(self.histogram.read_value(), axis=0, reverse=True)
        true_positives, false_positives = above[:, 0], above[:, 1]
        if self.curve == "ROC":
            return _area_under_roc(true_positives, false_positives)
        if self.trapezoidal:
            return _area_under_polygon(true_positives, false_positives)
        return _area_under_precision_recall(true_positives, false_positives)

    def _update(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Operation:
        scores = tf.cast(y_pred, tf.float32)
        weights = tf.reshape(broadcast_weights(sample_weight, scores), [-1])
        labels = tf.cast(tf.reshape(tf.cast(y_true, tf.bool), [-1]), tf.float32)  # Anything but 0 is true, as in Keras.
        scores = tf.clip_by_value(tf.reshape(scores, [-1]), 0.0, 1.0)
        bucket = tf.cast(tf.maximum(tf.math.ceil(scores * (self.num_thresholds - 1)) - 1.0, 0.0), tf.int32)
        both = tf.stack([labels * weights, (1.0 - labels) * weights], axis=1)
        added = tf.math.unsorted_segment_sum(both, bucket, self.num_thresholds)
        return tf.group(self.histogram.assign_add(added, read_value=False))


def _area_under_roc(true_positives: Any, false_positives: Any) -> Any:
    # Threshold 0 is below all scores: its counts are the totals.
    recall = tf.math.divide_no_nan(true_positives, true_positives[0])
    fallout = tf.math.divide_no_nan(false_positives, false_positives[0])
    # Past the last threshold nothing is above: the last bucket holds no score, so the polygon ends at (0, 0).
    return tf.reduce_sum((fallout[:-1] - fallout[1:]) * (recall[:-1] + recall[1:]) / 2.0)


def _area_under_polygon(true_positives: Any, false_positives: Any) -> Any:
    # The small number makes the precision 1 where nothing is above the threshold, the right end of the curve.
    precision = (true_positives + _SMALL) / (true_positives + false_positives + _SMALL)
    recall = (true_positives + _SMALL) / (true_positives[0] + _SMALL)
    return tf.reduce_sum((recall[:-1] - recall[1:]) * (precision[:-1] + precision[1:]) / 2.0)


def _area_under_precision_recall(true_positives: Any, false_positives: Any) -> Any:
    positives = true_positives + false_positives
    true_step = true_positives[:-1] - true_positives[1:]
    slope = tf.math.divide_no_nan(true_step, tf.maximum(positives[:-1] - positives[1:], 0.0))
    intercept = true_positives[1:] - slope * positives[1:]
    both = (positives[:-1] > 0) & (positives[1:] > 0)
    ratio = tf.where(both, tf.math.divide_no_nan(positives[:-1], positives[1:]), tf.ones_like(slope))
    # ∫ precision d(true positives) between two thresholds; the recall's denominator is the total of true labels.
    area = slope * (true_step + intercept * tf.math.log(ratio))
    return tf.reduce_sum(tf.math.divide_no_nan(area, true_positives[0]))
