"""Estimators that ignore the features: they learn the labels' average, the least that others must beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..estimator import Estimator
from ..estimator_spec import EstimatorSpec
from ..feature_column.column_state import model_variable
from ..head import Head, RegressionHead
from ..head.classifier import classifier_head
from ..head.reduction import SUM_OVER_BATCH_SIZE
from ..keys import ModeKeys
from ..model_fn import plain_shapes
from ..optimizer import resolve_optimizer

LEARNING_RATE = 0.3  # of an optimizer given by name, as the old library had it


class BaselineEstimator(Estimator):
    """A bias with any head; the variable is `baseline/bias`.

    Args:
        head: a `Head`.
        model_dir: directory of checkpoints and summaries.
        optimizer: as in `DNNEstimator`; by name, with learning rate 0.3.
        config: a `RunConfig`.

    Raises:
        ValueError: an unknown optimizer.
    """

    def __init__(self, head: Head, model_dir: Any = None, optimizer: Any = "Ftrl", config: Any = None) -> None:
        optimizer = optimizer if callable(optimizer) else resolve_optimizer(optimizer, LEARNING_RATE)
        super().__init__(model_fn=baseline_model_fn(head, optimizer), model_dir=model_dir, config=config)
        self.head, self.feature_columns = head, ()


def baseline_model_fn(head: Head, optimizer: Any) -> Callable[..., EstimatorSpec]:
    """The model_fn of a bias with a head."""

    @plain_shapes
    def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
        zeros = tf.compat.v1.zeros_initializer()
        bias = model_variable("baseline/bias", [head.logits_dimension], zeros)
        return head.create_estimator_spec(
            features=features,
            mode=mode,
            logits=tf.zeros([_batch_size(features), 1]) + bias,
            labels=labels,
            optimizer=optimizer if mode == ModeKeys.TRAIN else None,
            trainable_variables=[bias],
        )

    return model_fn


def _batch_size(features: Any) -> Any:
    """Number of rows, of whichever feature comes first."""
    if isinstance(features, Mapping):
        if not features:
            raise ValueError("features must not be empty: the number of rows is taken from one of them.")
        features = features[min(features)]
    if isinstance(features, tf.sparse.SparseTensor):
        return features.dense_shape[0]
    if isinstance(features, tf.RaggedTensor):
        return features.nrows()
    return tf.shape(features)[0]


class BaselineClassifier(BaselineEstimator):
    """Learns how frequent each class is.

    Args:
        n_classes, weight_column, label_vocabulary, loss_reduction: as in `DNNClassifier`.
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
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
    ) -> None:
        head = classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction)
        super().__init__(head, model_dir, optimizer, config)


class BaselineRegressor(BaselineEstimator):
    """Learns the mean of the labels.

    Args:
        label_dimension, weight_column, loss_reduction: as in `DNNRegressor`.
        model_dir, optimizer, config: as in `BaselineEstimator`.

    Raises:
        ValueError: as `RegressionHead`.
    """

    def __init__(
        self,
        model_dir: Any = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = "Ftrl",
        config: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
    ) -> None:
        super().__init__(RegressionHead(label_dimension, weight_column, loss_reduction), model_dir, optimizer, config)
