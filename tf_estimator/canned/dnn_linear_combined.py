"""Estimators of a linear model and a network that add their logits ("wide and deep")."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ..estimator import Estimator
from ..estimator_spec import EstimatorSpec
from ..feature_column import LinearModel
from ..head import Head, RegressionHead
from ..head.classifier import classifier_head
from ..head.reduction import SUM_OVER_BATCH_SIZE
from ..keys import ModeKeys
from ..model_fn import plain_shapes
from ..optimizer import resolve_optimizer
from .arguments import checked_dropout, checked_features, checked_hidden_units
from .linear import add_linear_summaries, linear_model
from .network import Network, add_layer_summary

# Of optimizers given by name, as the old library had them.
DNN_LEARNING_RATE = 0.001
_LINEAR_LEARNING_RATE = 0.005


class DNNLinearCombinedEstimator(Estimator):
    """A linear model and a fully connected network, trained together, with any head.

    Args:
        head: a `Head`.
        model_dir: directory of checkpoints and summaries.
        linear_feature_columns: columns of the linear model; none if None.
        linear_optimizer: as in `DNNEstimator`; by name, with learning rate min(0.005, 1/√columns).
        dnn_feature_columns: dense columns of the network; none if None.
        dnn_optimizer: as in `DNNEstimator`; by name, with learning rate 0.001.
        dnn_hidden_units, dnn_activation_fn, dnn_dropout, batch_norm: of the network, as in `DNNEstimator`.
        config: a `RunConfig`.
        linear_sparse_combiner: how several categories in one row are combined: "sum", "mean" or "sqrtn".
        warm_start_from: checkpoint, SavedModel or `WarmStartSettings` to take first values from.

    Raises:
        ValueError: no columns at all, network columns without hidden units, or as `DNNEstimator` and
            `LinearEstimator`.
    """

    def __init__(
        self,
        head: Head,
        model_dir: Any = None,
        linear_feature_columns: Any = None,
        linear_optimizer: Any = "Ftrl",
        dnn_feature_columns: Any = None,
        dnn_optimizer: Any = "Adagrad",
        dnn_hidden_units: Iterable[int] | None = None,
        dnn_activation_fn: Callable[[Any], Any] | None = tf.nn.relu,
        dnn_dropout: float | None = None,
        config: Any = None,
        batch_norm: bool = False,
        linear_sparse_combiner: str = "sum",
        warm_start_from: Any = None,
    ) -> None:
        wide, deep = checked_columns(linear_feature_columns, dnn_feature_columns)
        if wide:
            linear_optimizer = _early(linear_optimizer, linear_rate(wide))
        dnn_optimizer = _early(dnn_optimizer, DNN_LEARNING_RATE)
        deep_part = Deep(deep, dnn_hidden_units, dnn_optimizer, dnn_activation_fn, dnn_dropout, batch_norm)
        model_fn = combined_model_fn(head, Wide(wide, linear_optimizer, linear_sparse_combiner), deep_part)
        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config, warm_start_from=warm_start_from)
        self.head, self.feature_columns = head, [*wide, *deep]


def checked_columns(linear: Iterable[Any] | None, dnn: Iterable[Any] | None) -> tuple[list[Any], list[Any]]:
    """The columns of both parts as lists.

    Raises:
        ValueError: there are none.
    """
    wide, deep = list(linear or []), list(dnn or [])
    if not wide and not deep:
        raise ValueError("Either linear_feature_columns or dnn_feature_columns must be defined.")
    return wide, deep


@dataclass(frozen=True)
class Wide:
    """The linear model of a combined one; attributes as of `LinearEstimator`."""

    columns: list[Any]
    optimizer: Any
    sparse_combiner: str
    partitioner: Any = None
    kind: type[LinearModel] = LinearModel


@dataclass(frozen=True)
class Deep:
    """The network of a combined model; attributes as of `DNNEstimator` and `Network`."""

    columns: list[Any]
    hidden_units: Iterable[int] | None
    optimizer: Any
    activation_fn: Callable[[Any], Any] | None
    dropout: float | None
    batch_norm: bool
    partitioner: Any = None
    make_input: Callable[[Any], Any] | None = None


def linear_rate(columns: Sequence[Any]) -> float:
    """The learning rate of a linear optimizer that is given by name."""
    return min(_LINEAR_LEARNING_RATE, 1.0 / math.sqrt(len(columns)))


def combined_model_fn(head: Head, wide: Wide, deep: Deep) -> Callable[..., EstimatorSpec]:
    """The model_fn of a linear model and a network whose logits are added.

    Raises:
        ValueError: hidden units or a dropout that can't be used.
    """
    widths = checked_hidden_units(deep.hidden_units or [], "dnn_hidden_units")
    if deep.columns and not widths:
        raise ValueError("dnn_hidden_units must be defined when dnn_feature_columns is specified.")
    checked_dropout(deep.dropout, "dnn_dropout")

    @plain_shapes
    def model_fn(features: Any, labels: Any, mode: str, config: Any) -> EstimatorSpec:
        features = checked_features(features)
        parts: list[tuple[Any, Any]] = []
        logits, update_ops = [], []
        if deep.columns:
            network = Network(
                head.logits_dimension,
                widths,
                deep.columns,
                deep.activation_fn,
                deep.dropout,
                deep.batch_norm,
                config,
                deep.partitioner,
                deep.make_input,
            )
            logits.append(network(features, mode))
            update_ops = network.update_ops
            parts.append((deep.optimizer, network.trainable_variables))
        if wide.columns:
            model = linear_model(wide.columns, head.logits_dimension, wide.sparse_combiner, wide.partitioner, wide.kind)
            logits.append(model(features))
            if mode == ModeKeys.TRAIN:
                add_linear_summaries(model)
                add_layer_summary(logits[-1], "linear")
            parts.append((wide.optimizer, model.trainable_variables))
        return head.create_estimator_spec(
            features=features,
            mode=mode,
            logits=logits[0] if len(logits) == 1 else tf.add_n(logits),
            labels=labels,
            train_op_fn=_training(parts, head) if mode == ModeKeys.TRAIN else None,
            update_ops=update_ops,
        )

    return model_fn


def _early(optimizer: Any, rate: float) -> Any:
    return optimizer if callable(optimizer) else resolve_optimizer(optimizer, rate)


def _training(parts: Sequence[tuple[Any, Any]], head: Head) -> Callable[[Any], Any]:
    """One step of each part's optimizer; the first one raises the global step, as the old library had it."""

    def train_op_fn(loss: Any) -> Any:
        steps = [tf.compat.v1.train.get_or_create_global_step(), None]
        return tf.group(
            *[
                resolve_optimizer(optimizer).minimize(loss, variables, step, head.training_scope)
                for (optimizer, variables), step in zip(parts, steps, strict=False)
            ]
        )

    return train_op_fn


class DNNLinearCombinedClassifier(DNNLinearCombinedEstimator):
    """A linear model and a network that classify together.

    Args:
        n_classes, weight_column, label_vocabulary, loss_reduction: as in `DNNClassifier`.
        The others: as in `DNNLinearCombinedEstimator`.

    Raises:
        ValueError: as `DNNLinearCombinedEstimator` and the heads.
    """

    def __init__(
        self,
        model_dir: Any = None,
        linear_feature_columns: Any = None,
        linear_optimizer: Any = "Ftrl",
        dnn_feature_columns: Any = None,
        dnn_optimizer: Any = "Adagrad",
        dnn_hidden_units: Iterable[int] | None = None,
        dnn_activation_fn: Callable[[Any], Any] | None = tf.nn.relu,
        dnn_dropout: float | None = None,
        n_classes: int = 2,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        batch_norm: bool = False,
        linear_sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction),
            model_dir=model_dir,
            linear_feature_columns=linear_feature_columns,
            linear_optimizer=linear_optimizer,
            dnn_feature_columns=dnn_feature_columns,
            dnn_optimizer=dnn_optimizer,
            dnn_hidden_units=dnn_hidden_units,
            dnn_activation_fn=dnn_activation_fn,
            dnn_dropout=dnn_dropout,
            config=config,
            batch_norm=batch_norm,
            linear_sparse_combiner=linear_sparse_combiner,
            warm_start_from=warm_start_from,
        )


class DNNLinearCombinedRegressor(DNNLinearCombinedEstimator):
    """A linear model and a network that predict numbers together.

    Args:
        label_dimension, weight_column, loss_reduction: as in `DNNRegressor`.
        The others: as in `DNNLinearCombinedEstimator`.

    Raises:
        ValueError: as `DNNLinearCombinedEstimator` and `RegressionHead`.
    """

    def __init__(
        self,
        model_dir: Any = None,
        linear_feature_columns: Any = None,
        linear_optimizer: Any = "Ftrl",
        dnn_feature_columns: Any = None,
        dnn_optimizer: Any = "Adagrad",
        dnn_hidden_units: Iterable[int] | None = None,
        dnn_activation_fn: Callable[[Any], Any] | None = tf.nn.relu,
        dnn_dropout: float | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        batch_norm: bool = False,
        linear_sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=RegressionHead(label_dimension, weight_column, loss_reduction),
            model_dir=model_dir,
            linear_feature_columns=linear_feature_columns,
            linear_optimizer=linear_optimizer,
            dnn_feature_columns=dnn_feature_columns,
            dnn_optimizer=dnn_optimizer,
            dnn_hidden_units=dnn_hidden_units,
            dnn_activation_fn=dnn_activation_fn,
            dnn_dropout=dnn_dropout,
            config=config,
            batch_norm=batch_norm,
            linear_sparse_combiner=linear_sparse_combiner,
            warm_start_from=warm_start_from,
        )
