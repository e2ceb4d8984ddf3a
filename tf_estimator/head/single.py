"""`SingleHead`: what the heads that stand on logits of their own have in common."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from . import input_checks
from .base import Head, with_regularization
from .reduction import canonical_reduction, reduce_loss


class SingleHead(Head):
    """A head with one kind of labels and a loss for each row, or for each logit of a row.

    A subclass gives `_checked_labels` and `_losses`, and what `Head` leaves open: predictions and metrics.

    Args:
        logits_dimension: size of the last dimension of the logits.
        weight_column: feature key or numeric column with the weight of each row.
        loss_reduction: see `reduction.py`; not NONE.
        loss_fn: `loss_fn(labels, logits[, features][, loss_reduction])` instead of the head's own loss.
        name: name of the head.

    Raises:
        ValueError: an unknown reduction, or a loss_fn with other arguments.
    """

    def __init__(
        self,
        logits_dimension: int,
        weight_column: Any,
        loss_reduction: str,
        loss_fn: Callable[..., Any] | None,
        name: str | None,
    ) -> None:
        self._logits_dimension = logits_dimension
        self._weight_column = weight_column
        self._loss_reduction = canonical_reduction(loss_reduction)
        self._loss_fn = input_checks.checked_loss_fn(loss_fn)
        self._name = name

    @property
    def name(self) -> str | None:
        return self._name

    @property
    def logits_dimension(self) -> int:
        return self._logits_dimension

    @property
    def loss_reduction(self) -> str:
        return self._loss_reduction

    def loss(
        self,
        labels: Any,
        logits: Any,
        features: Mapping[str, Any] | None = None,
        mode: str | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> tf.Tensor:
        """See `Head.loss`."""
        logits = input_checks.checked_logits(logits, self._logits_dimension)
        losses, weights = self._losses(logits, self._checked_labels(labels, logits), features)
        return with_regularization(reduce_loss(losses, weights, self._loss_reduction), regularization_losses)

    @abc.abstractmethod
    def _checked_labels(self, labels: Any, logits: Any) -> tf.Tensor:
        """The labels as the loss takes them.

        Raises:
            ValueError: they are missing, of a type that is not taken, or do not fit the logits.
        """

    @abc.abstractmethod
    def _losses(self, logits: Any, labels: Any, features: Any) -> tuple[Any, Any]:
        """The losses before their reduction, and the weight of each."""
