"""`MultiLabelHead`: any number of classes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..keys import MetricKeys, PredictionKeys
from ..metrics import AUC, Mean
from . import input_checks
from .base import checked_keys
from .binary_class import threshold_metrics, threshold_names
from .classes import all_classes, class_outputs
from .reduction import SUM_OVER_BATCH_SIZE
from .single import SingleHead


class MultiLabelHead(SingleHead):
    """Sigmoid cross entropy per class, averaged over the classes.

    Labels are a dense 0/1 tensor `[D0, …, DN, n_classes]`, or a SparseTensor of class numbers or, with
    `label_vocabulary`, of names.

    Args:
        n_classes: number of classes, at least 2.
        weight_column: feature key or numeric column with the weight of each row.
        thresholds: numbers in (0, 1) at which accuracy, precision and recall are evaluated too.
        label_vocabulary: the names of the classes.
        loss_reduction: see `reduction.py`; not NONE.
        loss_fn: `loss_fn(labels, logits[, features][, loss_reduction])` giving losses `[D0, …, DN, 1]`.
        classes_for_class_based_metrics: class numbers or names for which metrics are evaluated one by one.
        name: name of the head.

    Raises:
        ValueError: too few classes, thresholds outside (0, 1), a vocabulary of another length, an unknown class or
            reduction, or a loss_fn with other arguments.
    """

    def __init__(
        self,
        n_classes: int,
        weight_column: Any = None,
        thresholds: Iterable[float] | None = None,
        label_vocabulary: Sequence[str] | None = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        loss_fn: Callable[..., Any] | None = None,
        classes_for_class_based_metrics: Sequence[int | str] | None = None,
        name: str | None = None,
    ) -> None:
        if n_classes is None or n_classes < 2:
            raise ValueError(f"n_classes must be > 1 for multi-label classification. Given: {n_classes}.")
        self._n_classes = int(n_classes)
        self._thresholds = input_checks.checked_thresholds(thresholds)
        self._label_vocabulary = input_checks.checked_vocabulary(label_vocabulary, n_classes)
        super().__init__(self._n_classes, weight_column, loss_reduction, loss_fn, name)
        self._class_metrics = [self._class_id(given) for given in classes_for_class_based_metrics or ()]

    def predictions(self, logits: Any, keys: Sequence[str] | None = None) -> dict[Any, tf.Tensor]:
        """See `Head.predictions`; keys: logits, probabilities, classes (the names of all classes)."""
        names = PredictionKeys
        keys = checked_keys(keys, [names.LOGITS, names.PROBABILITIES, names.CLASSES])
        logits = input_checks.checked_logits(logits, self._n_classes)
        make = {
            names.LOGITS: lambda: logits,
            names.PROBABILITIES: lambda: tf.sigmoid(logits),
            names.CLASSES: lambda: all_classes(logits, self._n_classes, self._label_vocabulary),
        }
        return {key: make[key]() for key in keys}

    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """See `Head.metrics`."""
        key = self._summary_key
        metrics: dict[str, Any] = {
            key(MetricKeys.LOSS_MEAN): Mean(MetricKeys.LOSS_MEAN),
            key(MetricKeys.AUC): AUC(MetricKeys.AUC),
            key(MetricKeys.AUC_PR): AUC(MetricKeys.AUC_PR, curve="PR"),
            **self._regularization_metric(regularization_losses),
            **threshold_metrics(self._thresholds, key),
        }
        for class_id in self._class_metrics:
            probability, auc, auc_pr = self._class_keys(class_id)
            metrics |= {key(probability): Mean(probability), key(auc): AUC(auc), key(auc_pr): AUC(auc_pr, curve="PR")}
        return metrics

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
        logits = input_checks.checked_logits(logits, self._n_classes)
        labels = self._checked_labels(labels, logits)
        losses, weights = self._losses(logits, labels, features)
        scores = tf.sigmoid(logits)
        eval_metrics[key(MetricKeys.LOSS_MEAN)].update_state(losses, weights)
        for name in (MetricKeys.AUC, MetricKeys.AUC_PR, *threshold_names(self._thresholds)):
            eval_metrics[key(name)].update_state(labels, scores, weights)
        for class_id in self._class_metrics:
            probability, auc, auc_pr = self._class_keys(class_id)
            here = slice(class_id, class_id + 1)
            eval_metrics[key(probability)].update_state(scores[..., here], weights)
            for name in (auc, auc_pr):
                eval_metrics[key(name)].update_state(labels[..., here], scores[..., here], weights)
        self._update_regularization(eval_metrics, regularization_losses)
        return eval_metrics

    def export_outputs(self, predictions: dict[Any, tf.Tensor]) -> dict[str, Any]:
        """See `Head.export_outputs`."""
        return class_outputs(predictions, self._n_classes, self._label_vocabulary)

    def _class_id(self, given: int | str) -> int:
        if isinstance(given, str):
            if self._label_vocabulary is None:
                raise ValueError("label_vocabulary must be provided when classes_for_class_based_metrics are strings.")
            if given not in self._label_vocabulary:
                raise ValueError(f"classes_for_class_based_metrics: {given!r} is not in label_vocabulary.")
            return self._label_vocabulary.index(given)
        if not 0 <= given < self._n_classes:
            raise ValueError(
                f"All classes_for_class_based_metrics must be in range [0, {self._n_classes - 1}]. Given: {given}."
            )
        return int(given)

    def _class_keys(self, class_id: int) -> tuple[str, str, str]:
        keys = MetricKeys
        if self._label_vocabulary is None:
            patterns = (keys.PROBABILITY_MEAN_AT_CLASS, keys.AUC_AT_CLASS, keys.AUC_PR_AT_CLASS)
            return patterns[0] % class_id, patterns[1] % class_id, patterns[2] % class_id
        name = self._label_vocabulary[class_id]
        return keys.PROBABILITY_MEAN_AT_NAME % name, keys.AUC_AT_NAME % name, keys.AUC_PR_AT_NAME % name

    def _checked_labels(self, labels: Any, logits: Any) -> tf.Tensor:
        """Labels as float32 zeros and ones of the logits' shape."""
        if isinstance(labels, tf.sparse.SparseTensor):
            labels = self._sparse_indicators(labels)
        elif labels is not None:
            if labels.dtype == tf.string:
                raise ValueError("Dense labels must be a 0/1 indicator; give names as a SparseTensor.")
            message = "labels must be an integer indicator Tensor with values in [0, 1]."
            labels = input_checks.checked_range(labels, 2, message)
        return tf.cast(input_checks.checked_labels(labels, logits, self._n_classes), tf.float32)

    def _sparse_indicators(self, labels: Any) -> tf.Tensor:
        if labels.dtype == tf.string:
            if self._label_vocabulary is None:
                raise ValueError("Labels are strings; pass label_vocabulary with the names of the classes.")
            ids = input_checks.label_ids(labels.values, self._label_vocabulary)
            message = "Labels must be in label_vocabulary."
        elif labels.dtype.is_integer:
            ids = labels.values
            message = f"labels must be an integer SparseTensor with values in [0, {self._n_classes})."
        else:
            raise ValueError(f"Labels dtype should be integer. Instead got {labels.dtype}.")
        ids = input_checks.checked_range(tf.cast(ids, tf.int64), self._n_classes, message)
        hot = tf.sparse.to_indicator(tf.SparseTensor(labels.indices, ids, labels.dense_shape), self._n_classes)
        return tf.cast(hot, tf.int64)

    def _losses(self, logits: Any, labels: Any, features: Any) -> tuple[Any, Any]:
        if self._loss_fn:
            losses = input_checks.call_loss_fn(self._loss_fn, labels, logits, features, self._loss_reduction)
        else:
            per_class = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            losses = tf.reduce_mean(per_class, axis=-1, keepdims=True)
        return losses, input_checks.checked_weights(features, self._weight_column, logits)
