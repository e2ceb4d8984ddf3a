"""v1's estimators of a linear model and a network that add their logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from ...estimator import Estimator
from ...head import Head
from ..dnn_linear_combined import DNN_LEARNING_RATE, Deep, Wide, checked_columns, combined_model_fn, linear_rate
from .head import SUM, v1_classifier_head, v1_regression_head
from .input_layer import SharingLinearModel, input_layer
from .optimizer import v1_optimizer
from .partitioner import input_partitioner, min_max_partitioner


class DNNLinearCombinedEstimator(Estimator):
    """A linear model and a fully connected network, trained together, with any head, as
    `tf.compat.v1.estimator.DNNLinearCombinedEstimator`.

    Args:
        linear_optimizer, dnn_optimizer: as `optimizer` of v1's `DNNEstimator`; by name with learning rate
            min(0.005, 1/√columns) and 0.001.
        input_layer_partitioner: partitioner of the columns' variables of both parts; as in v1's `DNNEstimator`.
        The others: as in `est.DNNLinearCombinedEstimator`.

    Raises:
        ValueError: as `est.DNNLinearCombinedEstimator`.
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
        input_layer_partitioner: Any = None,
        config: Any = None,
        batch_norm: bool = False,
        linear_sparse_combiner: str = "sum",
        *,
        warm_start_from: Any = None,
    ) -> None:
        wide, deep = checked_columns(linear_feature_columns, dnn_feature_columns)
        inputs = input_partitioner(input_layer_partitioner, config)
        linear = v1_optimizer(linear_optimizer, linear_rate(wide)) if wide else None
        network = Deep(
            deep,
            dnn_hidden_units,
            v1_optimizer(dnn_optimizer, DNN_LEARNING_RATE) if deep else None,
            dnn_activation_fn,
            dnn_dropout,
            batch_norm,
            min_max_partitioner(config),
            partial(input_layer, partitioner=inputs),
        )
        linear_part = Wide(wide, linear, linear_sparse_combiner, inputs, SharingLinearModel)
        model_fn = combined_model_fn(head, linear_part, network)
        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config, warm_start_from=warm_start_from)
        self.head, self.feature_columns = head, [*wide, *deep]


class DNNLinearCombinedClassifier(DNNLinearCombinedEstimator):
    """A linear model and a network that classify together, as `tf.compat.v1.estimator.DNNLinearCombinedClassifier`.

    Args:
        n_classes, weight_column, label_vocabulary, loss_reduction: as in v1's `DNNClassifier`.
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
        input_layer_partitioner: Any = None,
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM,
        batch_norm: bool = False,
        linear_sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=v1_classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction),
            model_dir=model_dir,
            linear_feature_columns=linear_feature_columns,
            linear_optimizer=linear_optimizer,
            dnn_feature_columns=dnn_feature_columns,
            dnn_optimizer=dnn_optimizer,
            dnn_hidden_units=dnn_hidden_units,
            dnn_activation_fn=dnn_activation_fn,
            dnn_dropout=dnn_dropout,
            input_layer_partitioner=input_layer_partitioner,
            config=config,
            batch_norm=batch_norm,
            linear_sparse_combiner=linear_sparse_combiner,
            warm_start_from=warm_start_from,
        )


class DNNLinearCombinedRegressor(DNNLinearCombinedEstimator):
    """A linear model and a network that predict numbers together, as
    `tf.compat.v1.estimator.DNNLinearCombinedRegressor`.

    Args:
        label_dimension, weight_column, loss_reduction: as in v1's `DNNRegressor`.
        The others: as in `DNNLinearCombinedEstimator`.

    Raises:
        ValueError: as `DNNLinearCombinedEstimator` and `est.RegressionHead`.
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
        input_layer_partitioner: Any = None,
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM,
        batch_norm: bool = False,
        linear_sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=v1_regression_head(label_dimension, weight_column, loss_reduction),
            model_dir=model_dir,
            linear_feature_columns=linear_feature_columns,
            linear_optimizer=linear_optimizer,
            dnn_feature_columns=dnn_feature_columns,
            dnn_optimizer=dnn_optimizer,
            dnn_hidden_units=dnn_hidden_units,
            dnn_activation_fn=dnn_activation_fn,
            dnn_dropout=dnn_dropout,
            input_layer_partitioner=input_layer_partitioner,
            config=config,
            batch_norm=batch_norm,
            linear_sparse_combiner=linear_sparse_combiner,
            warm_start_from=warm_start_from,
        )
