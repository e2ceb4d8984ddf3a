"""Weighted means: of anything, of hits, and the accuracy of the best constant answer."""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf

from .base import Metric, broadcast_weights


class _WeightedMean(Metric):
    """Sum of weighted values and sum of weights."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.total = self._add_variable("total")
        self.count = self._add_variable("count")

    def result(self) -> tf.Tensor:
        return tf.math.divide_no_nan(self.total.read_value(), self.count.read_value())

    def _add(self, values: Any, sample_weight: Any) -> tf.Operation:
        values = tf.cast(values, tf.float32)
        if sample_weight is None:
            total = tf.reduce_sum(values)
            # Of a known shape the count is a constant: it must not be added when there was no batch to count.
            with tf.control_dependencies([values]):
                count = tf.identity(tf.cast(tf.size(values), tf.float32))
        else:
            weights = broadcast_weights(sample_weight, values)
            total, count = tf.reduce_sum(values * weights), tf.reduce_sum(weights)
        return tf.group(
            self.total.assign_add(total, read_value=False),
            self.count.assign_add(count, read_value=False),
        )


class Mean(_WeightedMean):
    """Weighted mean of all elements, 0 when there are none."""

    def __init__(self, name: str = "mean") -> None:
        super().__init__(name)

    def _update(self, values: Any, sample_weight: Any = None) -> tf.Operation:
        return self._add(values, sample_weight)


class _Hits(_WeightedMean):
    """Mean of hits: answers that equal their label."""

    def _update(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Operation:
        hits = tf.equal(tf.cast(y_true, tf.float32), tf.cast(self._answers(y_pred), tf.float32))
        return self._add(hits, sample_weight)

    @abc.abstractmethod
    def _answers(self, y_pred: Any) -> Any:
        """What is compared with the labels."""


class Accuracy(_Hits):
    """Weighted share of predictions that equal their label. Both have the same shape."""

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name)

    def _answers(self, y_pred: Any) -> Any:
        return y_pred


class BinaryAccuracy(_Hits):
    """Weighted share of scores that lie on their label's side of the threshold."""

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def _answers(self, y_pred: Any) -> Any:
        return y_pred > self.threshold


class AccuracyBaseline(Mean):
    """The accuracy of always answering the more frequent one of two classes: max(p, 1 - p), p the mean label."""

    def __init__(self, name: str = "accuracy_baseline") -> None:
        super().__init__(name)

    def result(self) -> tf.Tensor:
        total, count = self.total.read_value(), self.count.read_value()
        return tf.math.divide_no_nan(tf.maximum(total, count - total), count)
