"""Estimators of a linear model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ..estimator import Estimator
from ..estimator_spec import EstimatorSpec
from ..feature_column import LinearModel
from ..feature_column.column_state import parts_of
from ..head import Head, RegressionHead
from ..head.classifier import classifier_head
from ..head.reduction import SUM_OVER_BATCH_SIZE
from ..keys import ModeKeys
from ..model_fn import plain_shapes
from ..optimizer import resolve_optimizer
from .arguments import checked_features
from .network import zero_fraction

LEARNING_RATE = 0.2  # of an optimizer given by name, as the old library had it


class LinearEstimator(Estimator):
    """A linear model with any head.

    Args:
        head: a `Head`.
        feature_columns: categorical or dense columns of `tf.feature_column`.
        model_dir: directory of checkpoints and summaries.
        optimizer: as in `DNNEstimator`; by name, with learning rate 0.2. None is Ftrl with rate
            min(0.2, 1/√columns).
        config: a `RunConfig`.
        sparse_combiner: how several categories in one row are combined: "sum", "mean" or "sqrtn".
        warm_start_from: checkpoint, SavedModel or `WarmStartSettings` to take first values from.

    Raises:
        ValueError: a column of another kind, an unknown combiner or optimizer.
    """

    def __init__(
        self,
        head: Head,
        feature_columns: Any,
        model_dir: Any = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        sparse_combiner: str = "sum",
        warm_start_from: Any = None,
    ) -> None:
        columns = list(feature_columns)
        if optimizer is None:
            optimizer = resolve_optimizer("Ftrl", default_rate(columns))
        optimizer = optimizer if callable(optimizer) else resolve_optimizer(optimizer, LEARNING_RATE)
        model_fn = linear_model_fn(head, columns, optimizer, sparse_combiner)
        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config, warm_start_from=warm_start_from)
        self.head, self.feature_columns = head, columns


def default_rate(columns: Sequence[Any]) -> float:
    """The learning rate of Ftrl where no optimizer is given."""
    return min(LEARNING_RATE, 1.0 / math.sqrt(len(columns)))


def linear_model_fn(
    head: Head,
    columns: Sequence[Any],
    optimizer: Any,
    sparse_combiner: str,
    partitioner: Any = None,
    kind: type[LinearModel] = LinearModel,
) -> Callable[..., EstimatorSpec]:
    """The model_fn of a linear model with a head; arguments as of `LinearEstimator` and `linear_model`.

    Raises:
        ValueError: columns or a combiner that can't be used.
    """
    LinearModel(columns, sparse_combiner=sparse_combiner)  # for its checks

    @plain_shapes
    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        model = linear_model(columns, head.logits_dimension, sparse_combiner, partitioner, kind)
        logits = model(checked_features(features))
        if mode == ModeKeys.TRAIN:
            add_linear_summaries(model)
        return head.create_estimator_spec(
            features=features,
            mode=mode,
            logits=logits,
            labels=labels,
            optimizer=optimizer if mode == ModeKeys.TRAIN else None,
            trainable_variables=model.trainable_variables,
        )

    return model_fn


def linear_model(
    columns: Sequence[Any],
    units: int,
    sparse_combiner: str,
    partitioner: Any = None,
    kind: type[LinearModel] = LinearModel,
) -> LinearModel:
    """The linear model, of the given kind, with the canned estimators' variable names."""
    return kind(
        columns,
        units=units,
        sparse_combiner=sparse_combiner,
        name="linear/linear_model",
        partitioner=partitioner,
    )


def add_linear_summaries(model: LinearModel) -> None:
    """Summaries of the bias (scalar or histogram) and of the share of weights that are zero."""
    bias = {id(part) for part in parts_of(model.bias)}
    weights = [variable for variable in model.trainable_variables if id(variable) not in bias]
    with tf.compat.v1.name_scope(None):
        if model.bias.shape.num_elements() == 1:
            tf.compat.v1.summary.scalar("bias", tf.reshape(model.bias, []))
        else:
            tf.compat.v1.summary.histogram("bias", model.bias)
        flat = tf.concat([tf.reshape(variable, [-1]) for variable in weights], axis=0)
        tf.compat.v1.summary.scalar("fraction_of_zero_weights", zero_fraction(flat))


class LinearClassifier(LinearEstimator):
    """A linear model that classifies.

    Args:
        n_classes, weight_column, label_vocabulary, loss_reduction: as in `DNNClassifier`.
        feature_columns, model_dir, optimizer, config, warm_start_from, sparse_combiner: as in `LinearEstimator`.

    Raises:
        ValueError: as `LinearEstimator` and the heads.
    """

    def __init__(
        self,
        feature_columns: Any,
        model_dir: Any = None,
        n_classes: int = 2,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction),
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            config=config,
            sparse_combiner=sparse_combiner,
            warm_start_from=warm_start_from,
        )


class LinearRegressor(LinearEstimator):
    """A linear model that predicts numbers.

    Args:
        label_dimension, weight_column, loss_reduction: as in `DNNRegressor`.
        feature_columns, model_dir, optimizer, config, warm_start_from, sparse_combiner: as in `LinearEstimator`.

    Raises:
        ValueError: as `LinearEstimator` and `RegressionHead`.
    """

    def __init__(
        self,
        feature_columns: Any,
        model_dir: Any = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=RegressionHead(label_dimension, weight_column, loss_reduction),
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            config=config,
            sparse_combiner=sparse_combiner,
            warm_start_from=warm_start_from,
        )
