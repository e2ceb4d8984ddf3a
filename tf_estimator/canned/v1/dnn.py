"""v1's estimators of a fully connected network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from ...estimator import Estimator
from ...head import Head
from ..dnn import dnn_model_fn
from .head import SUM, v1_classifier_head, v1_regression_head
from .input_layer import input_layer
from .optimizer import v1_optimizer
from .partitioner import input_partitioner, min_max_partitioner

_LEARNING_RATE = 0.05  # of an optimizer given by name


class DNNEstimator(Estimator):
    """A fully connected network with any head, as `tf.compat.v1.estimator.DNNEstimator`.

    Args:
        optimizer: 'Adagrad', 'Adam', 'Ftrl', 'RMSProp' or 'SGD' (with learning rate 0.05), a `tf.compat.v1.train`
            optimizer, or a function that returns one.
        input_layer_partitioner: partitioner of the columns' variables; if None, one that keeps slices above 64 MiB
            apart, one per parameter server.
        head, hidden_units, feature_columns, model_dir, activation_fn, dropout, config, warm_start_from, batch_norm: as
            in `est.DNNEstimator`.

    Raises:
        ValueError: as `est.DNNEstimator`.
    """

    def __init__(
        self,
        head: Head,
        hidden_units: Iterable[int],
        feature_columns: Any,
        model_dir: Any = None,
        optimizer: Any = "Adagrad",
        activation_fn: Callable[[Any], Any] | None = tf.nn.relu,
        dropout: float | None = None,
        input_layer_partitioner: Any = None,
        config: Any = None,
        warm_start_from: Any = None,
        batch_norm: bool = False,
    ) -> None:
        columns = list(feature_columns)
        model_fn = dnn_model_fn(
            head,
            hidden_units,
            columns,
            v1_optimizer(optimizer, _LEARNING_RATE, "dnn"),
            activation_fn,
            dropout,
            batch_norm,
            min_max_partitioner(config),
            partial(input_layer, partitioner=input_partitioner(input_layer_partitioner, config)),
        )
        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config, warm_start_from=warm_start_from)
        self.head, self.feature_columns = head, columns


class DNNClassifier(DNNEstimator):
    """A fully connected network that classifies, as `tf.compat.v1.estimator.DNNClassifier`.

    Args:
        loss_reduction: a value of `tf.compat.v1.losses.Reduction` but NONE; the sum over the batch by default.
        n_classes, weight_column, label_vocabulary: as in `est.DNNClassifier`.
        The others: as in `DNNEstimator`.

    Raises:
        ValueError: as `DNNEstimator` and the heads.
    """

    def __init__(
        self,
        hidden_units: Iterable[int],
        feature_columns: Any,
        model_dir: Any = None,
        n_classes: int = 2,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = "Adagrad",
        activation_fn: Callable[[Any], Any] | None = tf.nn.relu,
        dropout: float | None = None,
        input_layer_partitioner: Any = None,
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(
            head=v1_classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction),
            hidden_units=hidden_units,
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            activation_fn=activation_fn,
            dropout=dropout,
            input_layer_partitioner=input_layer_partitioner,
            config=config,
            warm_start_from=warm_start_from,
            batch_norm=batch_norm,
        )


class DNNRegressor(DNNEstimator):
    """A fully connected network that predicts numbers, as `tf.compat.v1.estimator.DNNRegressor`.

    Args:
        label_dimension: numbers per row.
        weight_column, loss_reduction: as in `DNNClassifier`.
        The others: as in `DNNEstimator`.

    Raises:
        ValueError: as `DNNEstimator` and `est.RegressionHead`.
    """

    def __init__(
        self,
        hidden_units: Iterable[int],
        feature_columns: Any,
        model_dir: Any = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = "Adagrad",
        activation_fn: Callable[[Any], Any] | None = tf.nn.relu,
        dropout: float | None = None,
        input_layer_partitioner: Any = None,
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(
            head=v1_regression_head(label_dimension, weight_column, loss_reduction),
            hidden_units=hidden_units,
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            activation_fn=activation_fn,
            dropout=dropout,
            input_layer_partitioner=input_layer_partitioner,
            config=config,
            warm_start_from=warm_start_from,
            batch_norm=batch_norm,
        )
