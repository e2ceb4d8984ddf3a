"""Estimators of a fully connected network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf

from ..estimator import Estimator
from ..estimator_spec import EstimatorSpec
from ..head import Head, RegressionHead
from ..head.classifier import classifier_head
from ..head.reduction import SUM_OVER_BATCH_SIZE
from ..keys import ModeKeys
from ..model_fn import plain_shapes
from ..optimizer import resolve_optimizer
from .arguments import checked_dropout, checked_features, checked_hidden_units
from .network import Network


class DNNEstimator(Estimator):
    """A fully connected network with any head.

    Args:
        head: a `Head`.
        hidden_units: width of each hidden layer, from the input on.
        feature_columns: dense columns of `tf.feature_column`.
        model_dir: directory of checkpoints and summaries.
        optimizer: a name ('Adagrad', 'Adam', 'Ftrl', 'RMSProp', 'SGD' …), a `tf.keras.optimizers` or
            `tf.compat.v1.train` optimizer, or a function that returns one.
        activation_fn: of each hidden layer; relu if None.
        dropout: probability with which an output of a hidden layer is dropped in training; none if None.
        config: a `RunConfig`.
        warm_start_from: checkpoint, SavedModel or `WarmStartSettings` to take first values from.
        batch_norm: whether to normalize over the batch after each hidden layer.

    Raises:
        ValueError: no hidden units or one below 1, a dropout outside [0, 1), a column that is not dense, or an unknown
            optimizer.
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
        config: Any = None,
        warm_start_from: Any = None,
        batch_norm: bool = False,
    ) -> None:
        columns = list(feature_columns)
        optimizer = optimizer if callable(optimizer) else resolve_optimizer(optimizer)
        model_fn = dnn_model_fn(head, hidden_units, columns, optimizer, activation_fn, dropout, batch_norm)
        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config, warm_start_from=warm_start_from)
        self.head, self.feature_columns = head, columns


def dnn_model_fn(
    head: Head,
    hidden_units: Iterable[int],
    columns: Sequence[Any],
    optimizer: Any,
    activation_fn: Callable[[Any], Any] | None,
    dropout: float | None,
    batch_norm: bool,
    partitioner: Any = None,
    make_input: Callable[[Any], Any] | None = None,
) -> Callable[..., EstimatorSpec]:
    """The model_fn of a network with a head; arguments as of `DNNEstimator` and `Network`.

    Raises:
        ValueError: hidden units or a dropout that can't be used.
    """
    widths = checked_hidden_units(hidden_units, "hidden_units")
    checked_dropout(dropout, "dropout")

    @plain_shapes
    def model_fn(features: Any, labels: Any, mode: str, config: Any) -> EstimatorSpec:
        network = Network(
            head.logits_dimension,
            widths,
            columns,
            activation_fn,
            dropout,
            batch_norm,
            config,
            partitioner,
            make_input,
        )
        logits = network(checked_features(features), mode)
        return head.create_estimator_spec(
            features=features,
            mode=mode,
            logits=logits,
            labels=labels,
            optimizer=optimizer if mode == ModeKeys.TRAIN else None,
            trainable_variables=network.trainable_variables,
            update_ops=network.update_ops,
        )

    return model_fn


class DNNClassifier(DNNEstimator):
    """A fully connected network that classifies.

    Args:
        n_classes: number of classes; labels are integers in [0, n_classes) without a vocabulary.
        weight_column: feature key or numeric column with the weight of each row.
        label_vocabulary: names of the classes; labels are then strings.
        loss_reduction: 'sum_over_batch_size' or 'sum', or another name of `tf.losses.Reduction` but NONE.
        hidden_units, feature_columns, model_dir, optimizer, activation_fn, dropout, config, warm_start_from,
            batch_norm: as in `DNNEstimator`.

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
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(
            head=classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction),
            hidden_units=hidden_units,
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            activation_fn=activation_fn,
            dropout=dropout,
            config=config,
            warm_start_from=warm_start_from,
            batch_norm=batch_norm,
        )


class DNNRegressor(DNNEstimator):
    """A fully connected network that predicts numbers.

    Args:
        label_dimension: numbers per row.
        weight_column, loss_reduction: as in `DNNClassifier`.
        hidden_units, feature_columns, model_dir, optimizer, activation_fn, dropout, config, warm_start_from,
            batch_norm: as in `DNNEstimator`.

    Raises:
        ValueError: as `DNNEstimator` and `RegressionHead`.
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
        config: Any = None,
        warm_start_from: Any = None,
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        batch_norm: bool = False,
    ) -> None:
        super().__init__(
            head=RegressionHead(label_dimension, weight_column, loss_reduction),
            hidden_units=hidden_units,
            feature_columns=feature_columns,
            model_dir=model_dir,
            optimizer=optimizer,
            activation_fn=activation_fn,
            dropout=dropout,
            config=config,
            warm_start_from=warm_start_from,
            batch_norm=batch_norm,
        )
