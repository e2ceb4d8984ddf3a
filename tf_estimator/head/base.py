"""`Head`: what stands on a model's logits."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..distribution.strategy import loss_is_a_sum
from ..estimator_spec import EstimatorSpec
from ..export_output import PredictOutput
from ..keys import MetricKeys, ModeKeys
from ..metrics import Mean
from ..model_fn import plain_shapes
from ..optimizer import TRAINING_SCOPE, resolve_optimizer
from .reduction import SUM

v1 = tf.compat.v1

# Names of signatures, as the old library had them.
SERVING_DEFAULT = "serving_default"
CLASSIFICATION = "classification"
REGRESSION = "regression"
PREDICT = "predict"


class Head(abc.ABC):
    """Interface for the head of a model: from logits (and labels) to loss, metrics, predictions and training step.

    A subclass gives `logits_dimension`, `loss_reduction`, `name`, `loss`, `predictions`, `metrics`, `update_metrics`
    and, if it has more to answer than its predictions, `export_outputs`.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str | None:
        """Name of the head; put behind the keys of its metrics and summaries."""

    @property
    @abc.abstractmethod
    def logits_dimension(self) -> int:
        """Size of the last dimension of the logits."""

    @property
    @abc.abstractmethod
    def loss_reduction(self) -> str:
        """How a batch of losses becomes the training loss."""

    @abc.abstractmethod
    def loss(
        self,
        labels: Any,
        logits: Any,
        features: Mapping[str, Any] | None = None,
        mode: str | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> tf.Tensor:
        """The training loss, a float32 scalar: the reduced losses plus the regularization losses.

        Args:
            labels: labels, `[D0, …, DN]` or `[D0, …, DN, …]`; a dict for a head of several.
            logits: `[D0, …, DN, logits_dimension]`.
            features: holds the weight column.
            mode: a `ModeKeys` value, for heads whose loss depends on it.
            regularization_losses: scalars to add.

        Raises:
            ValueError: labels are missing or do not fit the logits.
        """

    @abc.abstractmethod
    def predictions(self, logits: Any, keys: Sequence[str] | None = None) -> dict[Any, tf.Tensor]:
        """Predictions by name; only those in `keys` if given.

        Raises:
            ValueError: a key that this head does not have.
        """

    @abc.abstractmethod
    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """New metric objects by name, not updated yet."""

    @abc.abstractmethod
    def update_metrics(
        self,
        eval_metrics: dict[str, Any],
        features: Mapping[str, Any] | None,
        logits: Any,
        labels: Any,
        mode: str | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """Updates the metrics made by `metrics` with one batch and returns them."""

    @property
    def training_scope(self) -> str:
        """First part of the names of the optimizer's variables."""
        return TRAINING_SCOPE

    def export_outputs(self, predictions: dict[Any, tf.Tensor]) -> dict[str, Any]:
        """Signature name to export output."""
        output = PredictOutput(predictions)
        return {SERVING_DEFAULT: output, PREDICT: output}

    @plain_shapes
    def create_estimator_spec(
        self,
        features: Any,
        mode: str,
        logits: Any,
        labels: Any = None,
        optimizer: Any = None,
        trainable_variables: Sequence[Any] | None = None,
        train_op_fn: Callable[[Any], Any] | None = None,
        update_ops: Sequence[Any] | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> EstimatorSpec:
        """The `EstimatorSpec` that a model_fn returns.

        Args:
            features: dict of tensors; holds the weight column.
            mode: a `ModeKeys` value.
            logits: `[D0, …, DN, logits_dimension]`.
            labels: needed in TRAIN and EVAL modes.
            optimizer: any optimizer that the canned estimators take; raises the global step.
            trainable_variables: what the optimizer changes; the graph's trainable variables if None.
            train_op_fn: takes the loss and gives the training op, instead of an optimizer.
            update_ops: ops to run with each training step.
            regularization_losses: scalars to add to the loss.

        Raises:
            ValueError: in TRAIN mode, both or neither of optimizer and train_op_fn are given; an unknown mode; or
                trainable_variables or update_ops are no list or tuple.
        """
        if mode not in {ModeKeys.TRAIN, ModeKeys.EVAL, ModeKeys.PREDICT}:
            raise ValueError(f"mode={mode} unrecognized; pass a value of est.ModeKeys.")
        with v1.name_scope(self.name, "head"):
            predictions = self.predictions(logits)
            if mode == ModeKeys.PREDICT:
                return EstimatorSpec(
                    mode=mode, predictions=predictions, export_outputs=self.export_outputs(predictions)
                )
            loss = self.loss(labels, logits, features, mode, regularization_losses)
            if mode == ModeKeys.EVAL:
                metrics = self.update_metrics(
                    self.metrics(regularization_losses),
                    features,
                    logits,
                    labels,
                    regularization_losses=regularization_losses,
                )
                return EstimatorSpec(mode=mode, predictions=predictions, loss=loss, eval_metric_ops=metrics)
        train_op = training_op(
            loss, self.loss_reduction, optimizer, trainable_variables, train_op_fn, update_ops, self.training_scope
        )
        self._add_summaries(loss, regularization_losses)
        return EstimatorSpec(mode=mode, predictions=predictions, loss=loss, train_op=train_op)

    def _summary_key(self, key: str) -> str:
        return f"{key}/{self.name}" if self.name else key

    def _add_summaries(self, loss: Any, regularization_losses: Sequence[Any] | None) -> None:
        with v1.name_scope(None):
            v1.summary.scalar(self._summary_key(MetricKeys.LOSS), loss)
            if regularization_losses:
                key = self._summary_key(MetricKeys.LOSS_REGULARIZATION)
                v1.summary.scalar(key, tf.add_n(list(regularization_losses)))

    def _regularization_metric(self, regularization_losses: Sequence[Any] | None) -> dict[str, Any]:
        if not regularization_losses:
            return {}
        return {self._summary_key(MetricKeys.LOSS_REGULARIZATION): Mean(MetricKeys.LOSS_REGULARIZATION)}

    def _update_regularization(self, metrics: dict[str, Any], regularization_losses: Sequence[Any] | None) -> None:
        if regularization_losses:
            key = self._summary_key(MetricKeys.LOSS_REGULARIZATION)
            metrics[key].update_state(tf.add_n(list(regularization_losses)))


def training_op(
    loss: Any,
    loss_reduction: str,
    optimizer: Any = None,
    trainable_variables: Sequence[Any] | None = None,
    train_op_fn: Callable[[Any], Any] | None = None,
    update_ops: Sequence[Any] | None = None,
    scope: str = TRAINING_SCOPE,
) -> Any:
    """The op of one training step; see `Head.create_estimator_spec`."""
    for name, given in (("update_ops", update_ops), ("trainable_variables", trainable_variables)):
        if given is not None and not isinstance(given, (list, tuple)):
            raise ValueError(f"{name} should be a list or a tuple. Given type: {type(given)}.")
    if optimizer is not None and train_op_fn is not None:
        raise ValueError("train_op_fn and optimizer cannot both be set; pass one of them.")
    if loss_reduction == SUM:
        loss_is_a_sum()
    if optimizer is not None:
        variables = v1.trainable_variables() if trainable_variables is None else trainable_variables
        op = resolve_optimizer(optimizer).minimize(loss, variables, v1.train.get_or_create_global_step(), scope)
    elif train_op_fn is not None:
        op = train_op_fn(loss)
    else:
        raise ValueError("train_op_fn and optimizer cannot both be None; pass optimizer='Adagrad', for example.")
    return tf.group(op, *update_ops) if update_ops else op


def checked_keys(keys: Sequence[str] | None, valid: Sequence[str]) -> Sequence[str]:
    """The prediction keys to make.

    Raises:
        ValueError: a key that the head does not have.
    """
    for key in keys or ():
        if key not in valid:
            raise ValueError(f"Prediction key must be one of {list(valid)}, given: {key!r}.")
    return keys or valid


def with_regularization(loss: Any, regularization_losses: Sequence[Any] | None) -> Any:
    """The loss plus the regularization losses."""
    return loss + tf.add_n(list(regularization_losses)) if regularization_losses else loss
