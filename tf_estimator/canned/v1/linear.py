"""v1's estimators of a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...estimator import Estimator
from ...head import Head
from ..linear import LEARNING_RATE, default_rate, linear_model_fn
from .head import SUM, v1_classifier_head, v1_regression_head
from .input_layer import SharingLinearModel
from .optimizer import v1_optimizer
from .partitioner import input_partitioner


class LinearEstimator(Estimator):
    """A linear model with any head, as `tf.compat.v1.estimator.LinearEstimator`.

    Args:
        optimizer: 'Adagrad', 'Adam', 'Ftrl', 'RMSProp' or 'SGD' (with learning rate 0.2), a `tf.compat.v1.train`
            optimizer, or a function that returns one. None is Ftrl with rate min(0.2, 1/√columns).
        partitioner: partitioner of the weights; if None, one that keeps slices above 64 MiB apart, one per parameter
            server.
        head, feature_columns, model_dir, config, sparse_combiner, warm_start_from: as in `est.LinearEstimator`.

    Raises:
        ValueError: as `est.LinearEstimator`.
    """

    def __init__(
        self,
        head: Head,
        feature_columns: Any,
        model_dir: Any = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        partitioner: Any = None,
        sparse_combiner: str = "sum",
        warm_start_from: Any = None,
    ) -> None:
        columns = list(feature_columns)
        rate = LEARNING_RATE
        if optimizer is None:
            optimizer, rate = "Ftrl", default_rate(columns)
        made = v1_optimizer(optimizer, rate, "linear")
        model_fn = linear_model_fn(
            head, columns, made, sparse_combiner, input_partitioner(partitioner, config), SharingLinearModel
        )
        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config, warm_start_from=warm_start_from)
        self.head, self.feature_columns = head, columns


class LinearClassifier(LinearEstimator):
    """A linear model that classifies, as `tf.compat.v1.estimator.LinearClassifier`.

    Args:
        n_classes, weight_column, label_vocabulary, loss_reduction: as in v1's `DNNClassifier`.
        The others: as in `LinearEstimator`.

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
        partitioner: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM,
        sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=v1_classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction),
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            config=config,
            partitioner=partitioner,
            sparse_combiner=sparse_combiner,
            warm_start_from=warm_start_from,
        )


class LinearRegressor(LinearEstimator):
    """A linear model that predicts numbers, as `tf.compat.v1.estimator.LinearRegressor`.

    Args:
        label_dimension, weight_column, loss_reduction: as in v1's `DNNRegressor`.
        The others: as in `LinearEstimator`.

    Raises:
        ValueError: as `LinearEstimator` and `est.RegressionHead`.
    """

    def __init__(
        self,
        feature_columns: Any,
        model_dir: Any = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        partitioner: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM,
        sparse_combiner: str = "sum",
    ) -> None:
        super().__init__(
            head=v1_regression_head(label_dimension, weight_column, loss_reduction),
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            config=config,
            partitioner=partitioner,
            sparse_combiner=sparse_combiner,
            warm_start_from=warm_start_from,
        )
