"""`MultiClassHead`: one of more than two classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..keys import MetricKeys, PredictionKeys
from ..metrics import Accuracy, Mean
from . import input_checks
from .base import checked_keys
from .classes import all_class_ids, all_classes, class_names, class_outputs
from .reduction import SUM_OVER_BATCH_SIZE
from .single import SingleHead


class MultiClassHead(SingleHead):
    """Softmax cross entropy over `n_classes` logits.

    Labels are `[D0, …, DN]` or `[D0, …, DN, 1]`: integers in [0, n_classes), or strings of `label_vocabulary`.

    Args:
        n_classes: number of classes, more than 2 (`BinaryClassHead` is for 2).
        weight_column: feature key or numeric column with the weight of each row.
        label_vocabulary: the names of the classes.
        loss_reduction: see `reduction.py`; not NONE.
        loss_fn: `loss_fn(labels, logits[, features][, loss_reduction])` giving losses `[D0, …, DN, 1]`.
        name: name of the head.

    Raises:
        ValueError: too few classes, a vocabulary of another length, an unknown reduction, or a loss_fn with other
            arguments.
    """

    def __init__(
        self,
        n_classes: int,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        loss_fn: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None:
        if tf.is_tensor(n_classes):
            n_classes = tf.get_static_value(n_classes)
        if n_classes is None or n_classes <= 2:
            raise ValueError(f"n_classes must be > 2: {n_classes}. Use BinaryClassHead for two classes.")
        self._n_classes = int(n_classes)
        self._label_vocabulary = input_checks.checked_vocabulary(label_vocabulary, n_classes)
        super().__init__(self._n_classes, weight_column, loss_reduction, loss_fn, name)

    def predictions(self, logits: Any, keys: Sequence[str] | None = None) -> dict[Any, tf.Tensor]:
        """See `Head.predictions`; keys: logits, probabilities, class_ids, classes, all_class_ids, all_classes."""
        names = PredictionKeys
        valid = [names.LOGITS, names.PROBABILITIES, names.CLASS_IDS, names.CLASSES]
        keys = checked_keys(keys, [*valid, names.ALL_CLASS_IDS, names.ALL_CLASSES])
        logits = input_checks.checked_logits(logits, self._n_classes)
        class_ids = tf.expand_dims(tf.argmax(logits, axis=-1), -1)
        make = {
            names.LOGITS: lambda: logits,
            names.PROBABILITIES: lambda: tf.nn.softmax(logits),
            names.CLASS_IDS: lambda: class_ids,
            names.CLASSES: lambda: class_names(class_ids, self._label_vocabulary),
            names.ALL_CLASS_IDS: lambda: all_class_ids(logits, self._n_classes),
            names.ALL_CLASSES: lambda: all_classes(logits, self._n_classes, self._label_vocabulary),
        }
        return {key: make[key]() for key in keys}

    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """See `Head.metrics`."""
        return {
            self._summary_key(MetricKeys.LOSS_MEAN): Mean(MetricKeys.LOSS_MEAN),
            self._summary_key(MetricKeys.ACCURACY): Accuracy(),
            **self._regularization_metric(regularization_losses),
        }

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
        logits = input_checks.checked_logits(logits, self._n_classes)
        labels = self._checked_labels(labels, logits)
        losses, weights = self._losses(logits, labels, features)
        class_ids = self.predictions(logits, [PredictionKeys.CLASS_IDS])[PredictionKeys.CLASS_IDS]
        eval_metrics[self._summary_key(MetricKeys.LOSS_MEAN)].update_state(losses, weights)
        eval_metrics[self._summary_key(MetricKeys.ACCURACY)].update_state(labels, class_ids, weights)
        self._update_regularization(eval_metrics, regularization_losses)
        return eval_metrics

    def export_outputs(self, predictions: dict[Any, tf.Tensor]) -> dict[str, Any]:
        """See `Head.export_outputs`."""
        return class_outputs(predictions, self._n_classes, self._label_vocabulary)

    def _checked_labels(self, labels: Any, logits: Any) -> tf.Tensor:
        labels = input_checks.checked_labels(labels, logits, 1)
        if self._label_vocabulary is not None:
            labels = input_checks.label_ids(labels, self._label_vocabulary)
            message = "Labels must be in label_vocabulary."
        elif labels.dtype == tf.string:
            raise ValueError("Labels are strings; pass label_vocabulary with the names of the classes.")
        elif not labels.dtype.is_integer:
            raise ValueError(f"Labels dtype should be integer. Instead got {labels.dtype}. Cast them with tf.cast.")
        else:
            message = f"Labels must be <= n_classes - 1 and >= 0, that is in [0, {self._n_classes - 1}]."
        return input_checks.checked_range(labels, self._n_classes, message)

    def _losses(self, logits: Any, labels: Any, features: Any) -> tuple[Any, Any]:
        if self._loss_fn:
            losses = input_checks.call_loss_fn(self._loss_fn, labels, logits, features, self._loss_reduction)
        else:
            flat = tf.squeeze(labels, axis=-1)
            losses = tf.expand_dims(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=flat, logits=logits), -1)
        return losses, input_checks.checked_weights(features, self._weight_column, logits)
