"""Precision and recall at one threshold."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import Metric, broadcast_weights


class _AtThreshold(Metric):
    """Counts hits (label 1, score above the threshold) and what they are divided by."""

    def __init__(self, name: str, threshold: float) -> None:
        super().__init__(name)
        self.threshold = threshold
        self.hits = self._add_variable("true_positives")
        self.candidates = self._add_variable("candidates")

    def result(self) -> tf.Tensor:
        return tf.math.divide_no_nan(self.hits.read_value(), self.candidates.read_value())

    def _update(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Operation:
        scores = tf.cast(y_pred, tf.float32)
        weights = broadcast_weights(sample_weight, scores)
        true = tf.cast(tf.cast(y_true, tf.bool), tf.float32) * weights  # Anything but 0 is true, as in Keras.
        above = tf.cast(scores > self.threshold, tf.float32)
        return tf.group(
            self.hits.assign_add(tf.reduce_sum(true * above), read_value=False),
            self.candidates.assign_add(tf.reduce_sum(self._candidates(true, above, weights)), read_value=False),
        )

    def _candidates(self, true: Any, above: Any, weights: Any) -> Any:
        raise NotImplementedError


class Precision(_AtThreshold):
    """Share of the scores above the threshold whose label is 1; 0 when there are none."""

    def __init__(self, name: str = "precision", threshold: float = 0.5) -> None:
        super().__init__(name, threshold)

    def _candidates(self, true: Any, above: Any, weights: Any) -> Any:
        return above * weights


class Recall(_AtThreshold):
    """Share of the labels 1 whose score lies above the threshold; 0 when there are none."""

    def __init__(self, name: str = "recall", threshold: float = 0.5) -> None:
        super().__init__(name, threshold)

    def _candidates(self, true: Any, above: Any, weights: Any) -> Any:
        return true
