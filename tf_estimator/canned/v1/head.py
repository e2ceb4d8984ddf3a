"""Heads of v1's classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ...head import BinaryClassHead, Head, RegressionHead
from ...head.classifier import classifier_head
from ...keys import MetricKeys
from ...metrics import AUC

_Reduction = tf.compat.v1.losses.Reduction
SUM: str = _Reduction.SUM


class V1BinaryClassHead(BinaryClassHead):
    """`BinaryClassHead` whose area under the precision-recall curve is that of a polygon, as v1 had it."""

    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """See `Head.metrics`."""
        metrics = super().metrics(regularization_losses)
        metrics[self._summary_key(MetricKeys.AUC_PR)] = AUC(MetricKeys.AUC_PR, curve="PR", trapezoidal=True)
        return metrics


def v1_classifier_head(
    n_classes: int, weight_column: Any, label_vocabulary: Sequence[str] | None, loss_reduction: str
) -> Head:
    """The head of v1's classifiers.

    Raises:
        ValueError: as `classifier_head`.
    """
    return classifier_head(
        n_classes, weight_column, label_vocabulary, checked_reduction(loss_reduction), V1BinaryClassHead
    )


def v1_regression_head(label_dimension: int, weight_column: Any, loss_reduction: str) -> Head:
    """The head of v1's regressors.

    Raises:
        ValueError: as `RegressionHead`.
    """
    return RegressionHead(label_dimension, weight_column, checked_reduction(loss_reduction))


def checked_reduction(loss_reduction: str) -> str:
    """The reduction, if it is one of `tf.compat.v1.losses.Reduction` but NONE.

    Raises:
        ValueError: it is not.
    """
    known = sorted(set(_Reduction.all()) - {_Reduction.NONE})
    if loss_reduction not in known:
        raise ValueError(f"Invalid loss_reduction: {loss_reduction}. Pass one of {known}.")
    return loss_reduction
