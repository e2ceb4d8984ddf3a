"""Heads that predict numbers: `RegressionHead`, and for counts and for shares two that differ in loss and link."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..export_output import PredictOutput, RegressionOutput
from ..keys import MetricKeys, PredictionKeys
from ..metrics import Mean
from . import input_checks
from .base import PREDICT, REGRESSION, SERVING_DEFAULT, checked_keys
from .reduction import SUM_OVER_BATCH_SIZE
from .single import SingleHead


class RegressionHead(SingleHead):
    """Squared error over `label_dimension` logits.

    Labels are `[D0, …, DN, label_dimension]`, or `[D0, …, DN]` when that is 1. Weights may also be per label.

    Args:
        label_dimension: numbers to predict per row.
        weight_column: feature key or numeric column with the weight of each row.
        loss_reduction: see `reduction.py`; not NONE.
        loss_fn: `loss_fn(labels, logits[, features][, loss_reduction])` giving losses `[D0, …, DN, label_dimension]`.
        inverse_link_fn: from logits to predictions; the identity if None.
        name: name of the head.

    Raises:
        ValueError: label_dimension below 1, an unknown reduction, or a loss_fn with other arguments.
    """

    def __init__(
        self,
        label_dimension: int = 1,
        weight_column: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        loss_fn: Callable[..., Any] | None = None,
        inverse_link_fn: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ) -> None:
        if label_dimension < 1:
            raise ValueError(f"Invalid label_dimension {label_dimension}; it must be 1 or more.")
        super().__init__(int(label_dimension), weight_column, loss_reduction, loss_fn, name)
        self._inverse_link_fn = inverse_link_fn

    def predictions(self, logits: Any, keys: Sequence[str] | None = None) -> dict[Any, tf.Tensor]:
        """See `Head.predictions`; keys: predictions, and logits when there is an inverse link."""
        valid = [PredictionKeys.PREDICTIONS]
        if self._inverse_link_fn:
            valid.append(PredictionKeys.LOGITS)
        keys = checked_keys(keys, valid)
        logits = input_checks.checked_logits(logits, self._logits_dimension)
        linked = self._inverse_link_fn(logits) if self._inverse_link_fn else logits
        both = {PredictionKeys.PREDICTIONS: linked, PredictionKeys.LOGITS: logits}
        return {key: both[key] for key in keys}

    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """See `Head.metrics`."""
        names = (MetricKeys.LOSS_MEAN, MetricKeys.PREDICTION_MEAN, MetricKeys.LABEL_MEAN)
        means = {self._summary_key(name): Mean(name) for name in names}
        return {**means, **self._regularization_metric(regularization_losses)}

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
        logits = input_checks.checked_logits(logits, self._logits_dimension)
        predicted = self.predictions(logits)[PredictionKeys.PREDICTIONS]
        labels = self._checked_labels(labels, logits)
        losses, weights = self._losses(logits, labels, features)
        eval_metrics[self._summary_key(MetricKeys.LOSS_MEAN)].update_state(losses, weights)
        eval_metrics[self._summary_key(MetricKeys.PREDICTION_MEAN)].update_state(predicted, weights)
        eval_metrics[self._summary_key(MetricKeys.LABEL_MEAN)].update_state(labels, weights)
        self._update_regularization(eval_metrics, regularization_losses)
        return eval_metrics

    def export_outputs(self, predictions: dict[Any, tf.Tensor]) -> dict[str, Any]:
        """See `Head.export_outputs`."""
        regression = RegressionOutput(predictions[PredictionKeys.PREDICTIONS])
        return {SERVING_DEFAULT: regression, REGRESSION: regression, PREDICT: PredictOutput(predictions)}

    def _checked_labels(self, labels: Any, logits: Any) -> tf.Tensor:
        labels = input_checks.checked_labels(labels, logits, self._logits_dimension)
        if labels.dtype == tf.string:
            raise ValueError("Labels are strings; a regression needs numbers.")
        return tf.cast(labels, tf.float32)

    def _losses(self, logits: Any, labels: Any, features: Any) -> tuple[Any, Any]:
        if self._loss_fn:
            losses = input_checks.call_loss_fn(
                self._loss_fn, labels, logits, features, self._loss_reduction, self._logits_dimension
            )
        else:
            losses = tf.math.squared_difference(logits, labels)
        return losses, input_checks.checked_weights(features, self._weight_column, logits, per_logit=True)


class PoissonRegressionHead(RegressionHead):
    """Counts: Poisson loss of `exp(logits)`, which is also the prediction.

    Args:
        compute_full_loss: whether to add Stirling's approximation of `log(label!)`, which does not depend on the model.
        label_dimension, weight_column, loss_reduction, name: as in `RegressionHead`.
    """

    def __init__(
        self,
        label_dimension: int = 1,
        weight_column: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        compute_full_loss: bool = True,
        name: str | None = None,
    ) -> None:
        def poisson_loss(labels: Any, logits: Any) -> Any:
            labels = input_checks.checked_range(labels, 2**63, "Labels must be >= 0: they are counts.")
            return tf.nn.log_poisson_loss(targets=labels, log_input=logits, compute_full_loss=compute_full_loss)

        super().__init__(label_dimension, weight_column, loss_reduction, poisson_loss, tf.exp, name)


class LogisticRegressionHead(RegressionHead):
    """Shares in [0, 1]: sigmoid cross entropy, with `sigmoid(logits)` as the prediction.

    Args:
        weight_column, loss_reduction, name: as in `RegressionHead`.
    """

    def __init__(
        self, weight_column: Any = None, loss_reduction: str = SUM_OVER_BATCH_SIZE, name: str | None = None
    ) -> None:
        def logistic_loss(labels: Any, logits: Any) -> Any:
            labels = input_checks.checked_range(labels, 2, "Labels must be in range [0, 1].")
            return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)

        super().__init__(1, weight_column, loss_reduction, logistic_loss, tf.sigmoid, name)
