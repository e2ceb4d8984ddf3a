"""`BinaryClassHead`: two classes, one logit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..export_output import PredictOutput, RegressionOutput
from ..keys import MetricKeys, PredictionKeys
from ..metrics import AUC, Accuracy, AccuracyBaseline, BinaryAccuracy, Mean, Metric, Precision, Recall
from . import input_checks
from .base import CLASSIFICATION, PREDICT, REGRESSION, SERVING_DEFAULT, checked_keys
from .classes import all_class_ids, all_classes, class_names, classification_output
from .reduction import SUM_OVER_BATCH_SIZE
from .single import SingleHead


class BinaryClassHead(SingleHead):
    """Sigmoid cross entropy over one logit; metrics and predictions of two classes.

    Labels are `[D0, …, DN]` or `[D0, …, DN, 1]`: numbers in [0, 1], or strings of `label_vocabulary`.

    Args:
        weight_column: feature key or numeric column with the weight of each row.
        thresholds: numbers in (0, 1) at which accuracy, precision and recall are evaluated too.
        label_vocabulary: the names of class 0 and class 1.
        loss_reduction: see `reduction.py`; not NONE.
        loss_fn: `loss_fn(labels, logits[, features][, loss_reduction])` giving losses `[D0, …, DN, 1]`.
        name: name of the head.

    Raises:
        ValueError: thresholds outside (0, 1), a vocabulary that does not hold two names, an unknown reduction, or a
            loss_fn with other arguments.
    """

    def __init__(
        self,
        weight_column: Any = None,
        thresholds: Iterable[float] | None = None,
        label_vocabulary: Sequence[str] | None = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        loss_fn: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None:
        self._thresholds = input_checks.checked_thresholds(thresholds)
        self._label_vocabulary = input_checks.checked_vocabulary(label_vocabulary, 2)
        super().__init__(1, weight_column, loss_reduction, loss_fn, name)

    def predictions(self, logits: Any, keys: Sequence[str] | None = None) -> dict[Any, tf.Tensor]:
        """See `Head.predictions`; keys: logits, logistic, probabilities, class_ids, classes, all_class_ids,
        all_classes."""
        names = PredictionKeys
        valid = [names.LOGITS, names.LOGISTIC, names.PROBABILITIES, names.CLASS_IDS, names.CLASSES]
        keys = checked_keys(keys, [*valid, names.ALL_CLASS_IDS, names.ALL_CLASSES])
        logits = input_checks.checked_logits(logits, 1)
        both = tf.concat([tf.zeros_like(logits), logits], axis=-1)
        class_ids = tf.expand_dims(tf.argmax(both, axis=-1), -1)
        make = {
            names.LOGITS: lambda: logits,
            names.LOGISTIC: lambda: tf.sigmoid(logits),
            names.PROBABILITIES: lambda: tf.nn.softmax(both),
            names.CLASS_IDS: lambda: class_ids,
            names.CLASSES: lambda: class_names(class_ids, self._label_vocabulary),
            names.ALL_CLASS_IDS: lambda: all_class_ids(both, 2),
            names.ALL_CLASSES: lambda: all_classes(both, 2, self._label_vocabulary),
        }
        return {key: make[key]() for key in keys}

    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """See `Head.metrics`."""
        key = self._summary_key
        metrics: dict[str, Any] = {
            key(MetricKeys.LOSS_MEAN): Mean(MetricKeys.LOSS_MEAN),
            key(MetricKeys.ACCURACY): Accuracy(),
            key(MetricKeys.PRECISION): Precision(),
            key(MetricKeys.RECALL): Recall(),
            key(MetricKeys.PREDICTION_MEAN): Mean(MetricKeys.PREDICTION_MEAN),
            key(MetricKeys.LABEL_MEAN): Mean(MetricKeys.LABEL_MEAN),
            key(MetricKeys.ACCURACY_BASELINE): AccuracyBaseline(),
            key(MetricKeys.AUC): AUC(MetricKeys.AUC),
            key(MetricKeys.AUC_PR): AUC(MetricKeys.AUC_PR, curve="PR"),
            **self._regularization_metric(regularization_losses),
        }
        return {**metrics, **threshold_metrics(self._thresholds, key)}

    def update_metrics(
        self,
        eval_metrics: dict[str, Any],
        features: Mapping[str, Any] | None,
        logits: Any,
        labels: Any,
        mode: str | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """See `Head.update_metrics`."""
        key = self._summary_key
        logits = input_checks.checked_logits(logits, 1)
        predictions = self.predictions(logits, [PredictionKeys.LOGISTIC, PredictionKeys.CLASS_IDS])
        logistic, class_ids = predictions[PredictionKeys.LOGISTIC], predictions[PredictionKeys.CLASS_IDS]
        labels = self._checked_labels(labels, logits)
        losses, weights = self._losses(logits, labels, features)
        eval_metrics[key(MetricKeys.LOSS_MEAN)].update_state(losses, weights)
        for name in (MetricKeys.ACCURACY, MetricKeys.PRECISION, MetricKeys.RECALL):
            eval_metrics[key(name)].update_state(labels, class_ids, weights)
        eval_metrics[key(MetricKeys.PREDICTION_MEAN)].update_state(logistic, weights)
        eval_metrics[key(MetricKeys.LABEL_MEAN)].update_state(labels, weights)
        eval_metrics[key(MetricKeys.ACCURACY_BASELINE)].update_state(labels, weights)
        eval_metrics[key(MetricKeys.AUC)].update_state(labels, logistic, weights)
        eval_metrics[key(MetricKeys.AUC_PR)].update_state(labels, logistic, weights)
        for name in threshold_names(self._thresholds):
            eval_metrics[key(name)].update_state(labels, logistic, weights)
        self._update_regularization(eval_metrics, regularization_losses)
        return eval_metrics

    def export_outputs(self, predictions: dict[Any, tf.Tensor]) -> dict[str, Any]:
        """See `Head.export_outputs`."""
        scores = predictions[PredictionKeys.PROBABILITIES]
        classification = classification_output(scores, 2, self._label_vocabulary)
        return {
            SERVING_DEFAULT: classification,
            CLASSIFICATION: classification,
            REGRESSION: RegressionOutput(predictions[PredictionKeys.LOGISTIC]),
            PREDICT: PredictOutput(predictions),
        }

    def _checked_labels(self, labels: Any, logits: Any) -> tf.Tensor:
        labels = input_checks.checked_labels(labels, logits, 1)
        if self._label_vocabulary is not None:
            labels = input_checks.label_ids(labels, self._label_vocabulary)
            message = "Labels must be in label_vocabulary."
        elif labels.dtype == tf.string:
            raise ValueError("Labels are strings; pass label_vocabulary with the names of the two classes.")
        else:
            message = "Labels must be <= n_classes - 1 and >= 0, that is in [0, 1]."
        return input_checks.checked_range(tf.cast(labels, tf.float32), 2, message)

    def _losses(self, logits: Any, labels: Any, features: Any) -> tuple[Any, Any]:
        if self._loss_fn:
            losses = input_checks.call_loss_fn(self._loss_fn, labels, logits, features, self._loss_reduction)
        else:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        return losses, input_checks.checked_weights(features, self._weight_column, logits)


_AT_THRESHOLD: dict[str, Callable[[str, float], Metric]] = {
    MetricKeys.ACCURACY_AT_THRESHOLD: BinaryAccuracy,
    MetricKeys.PRECISION_AT_THRESHOLD: Precision,
    MetricKeys.RECALL_AT_THRESHOLD: Recall,
}


def threshold_names(thresholds: Iterable[float]) -> list[str]:
    """Names of the metrics at each threshold."""
    return [pattern % threshold for threshold in thresholds for pattern in _AT_THRESHOLD]


def threshold_metrics(thresholds: Iterable[float], key: Callable[[str], str]) -> dict[str, Any]:
    """Accuracy, precision and recall at each threshold, by `key` of their names."""
    return {
        key(pattern % threshold): make(pattern % threshold, threshold)
        for threshold in thresholds
        for pattern, make in _AT_THRESHOLD.items()
    }
