"""v1's estimators that ignore the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...estimator import Estimator
from ...head import Head
from ..baseline import LEARNING_RATE, baseline_model_fn
from .head import SUM, v1_classifier_head, v1_regression_head
from .optimizer import v1_optimizer


class BaselineEstimator(Estimator):
    """A bias with any head, as `tf.compat.v1.estimator.BaselineEstimator`.

    Args:
        optimizer: as in v1's `DNNEstimator`; by name with learning rate 0.3.
        head, model_dir, config: as in `est.BaselineEstimator`.

    Raises:
        ValueError: an unknown optimizer.
    """

    def __init__(self, head: Head, model_dir: Any = None, optimizer: Any = "Ftrl", config: Any = None) -> None:
        model_fn = baseline_model_fn(head, v1_optimizer(optimizer, LEARNING_RATE))
        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config)
        self.head, self.feature_columns = head, ()


class BaselineClassifier(BaselineEstimator):
    """Learns how frequent each class is, as `tf.compat.v1.estimator.BaselineClassifier`.

    Args:
        n_classes, weight_column, label_vocabulary, loss_reduction: as in v1's `DNNClassifier`.
        model_dir, optimizer, config: as in `BaselineEstimator`.

    Raises:
        ValueError: as the heads.
    """

    def __init__(
        self,
        model_dir: Any = None,
        n_classes: int = 2,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        loss_reduction: str = SUM,
    ) -> None:
        head = v1_classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction)
        super().__init__(head, model_dir, optimizer, config)


class BaselineRegressor(BaselineEstimator):
    """Learns the mean of the labels, as `tf.compat.v1.estimator.BaselineRegressor`.

    Args:
        label_dimension, weight_column, loss_reduction: as in v1's `DNNRegressor`.
        model_dir, optimizer, config: as in `BaselineEstimator`.

    Raises:
        ValueError: as `est.RegressionHead`.
    """

    def __init__(
        self,
        model_dir: Any = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        loss_reduction: str = SUM,
    ) -> None:
        super().__init__(
            v1_regression_head(label_dimension, weight_column, loss_reduction), model_dir, optimizer, config
        )
