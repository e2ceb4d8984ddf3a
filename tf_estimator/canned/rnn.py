"""Estimators of a recurrent network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..estimator import Estimator
from ..estimator_spec import EstimatorSpec
from ..feature_column import DenseInput, SequenceFeatures
from ..head import Head, SequentialHeadWrapper
from ..head.classifier import classifier_head
from ..head.reduction import SUM_OVER_BATCH_SIZE
from ..keys import ModeKeys
from ..model_fn import plain_shapes
from ..optimizer import resolve_optimizer
from ..optimizer.keras_optimizer import outside_graph
from ..recurrent.cells import cells_by_type, standard_cells
from .arguments import checked_features
from .recurrent_network import RecurrentNetwork

USE_DEFAULT = object()

# Of optimizers given by name, as the old library had them.
_LEARNING_RATE = 0.05
_CLIP_NORM = 5.0


class RNNEstimator(Estimator):
    """A recurrent network with any head.

    Args:
        head: a `Head`; a `SequentialHeadWrapper` with return_sequences.
        sequence_feature_columns: sequence columns, or dense columns made of sequence columns.
        context_feature_columns: dense columns whose values stand beside every step; none if None.
        units: width of each recurrent layer. Needs cell_type.
        cell_type: "simple_rnn", "lstm" or "gru", or a class with Keras' cell interface that takes `units`; simple_rnn
            if not given.
        rnn_cell_fn: function that returns a cell, instead of units and cell_type; `tf.keras.layers.StackedRNNCells`
            for several layers.
        return_sequences: whether there is an answer for each step instead of one for the sequence.
        model_dir: directory of checkpoints and summaries.
        optimizer: as in `DNNEstimator`; by name, with learning rate 0.05 and each gradient clipped to norm 5.
        config: a `RunConfig`.

    Raises:
        ValueError: rnn_cell_fn together with units or cell_type, none of them, an unknown cell_type, a head that does
            not fit return_sequences, or a column of another kind.
    """

    def __init__(
        self,
        head: Head,
        sequence_feature_columns: Any,
        context_feature_columns: Any = None,
        units: Any = None,
        cell_type: Any = USE_DEFAULT,
        rnn_cell_fn: Callable[[], Any] | None = None,
        return_sequences: bool = False,
        model_dir: Any = None,
        optimizer: Any = "Adagrad",
        config: Any = None,
    ) -> None:
        if return_sequences and not isinstance(head, SequentialHeadWrapper):
            raise ValueError(
                "Provided head must be a `SequentialHeadWrapper` object when `return_sequences` is set to True."
            )
        wanted = _wanted_cells(units, cell_type, rnn_cell_fn)
        columns, context = list(sequence_feature_columns), list(context_feature_columns or [])
        SequenceFeatures(columns)  # for its checks, as is the next
        if context:
            DenseInput(context)
        optimizer = optimizer if callable(optimizer) else _optimizer(optimizer)

        @plain_shapes
        def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
            features = dict(checked_features(features))
            cells = wanted
            if rnn_cell_fn is not None:
                cells = standard_cells(outside_graph(rnn_cell_fn)) or rnn_cell_fn
            network = RecurrentNetwork(head.logits_dimension, cells, columns, context, return_sequences)
            logits, mask = network(features, training=mode == ModeKeys.TRAIN)
            if return_sequences and isinstance(head, SequentialHeadWrapper):
                features.setdefault(head.input_sequence_mask_key, mask)
            return head.create_estimator_spec(
                features=features,
                mode=mode,
                logits=logits,
                labels=labels,
                optimizer=optimizer if mode == ModeKeys.TRAIN else None,
                trainable_variables=network.trainable_variables,
            )

        super().__init__(model_fn=model_fn, model_dir=model_dir, config=config)
        self.head, self.feature_columns = head, [*columns, *context]


def _optimizer(optimizer: Any) -> Any:
    return resolve_optimizer(optimizer, _LEARNING_RATE, clipnorm=_CLIP_NORM)


def _wanted_cells(units: Any, cell_type: Any, rnn_cell_fn: Any) -> Any:
    if rnn_cell_fn is not None:
        if units or cell_type is not USE_DEFAULT:
            raise ValueError("units and cell_type must not be specified when using rnn_cell_fn")
        return rnn_cell_fn
    if not units:
        raise ValueError("Pass units (such as [32, 16]) with cell_type, or rnn_cell_fn.")
    return cells_by_type(units, "simple_rnn" if cell_type is USE_DEFAULT else cell_type)


class RNNClassifier(RNNEstimator):
    """A recurrent network that classifies sequences, or with return_sequences their steps.

    Args:
        n_classes, weight_column, label_vocabulary, loss_reduction: as in `DNNClassifier`; with return_sequences the
            weight column must be None or a feature's key.
        sequence_mask: with return_sequences, key of the mask of steps: taken from the features if there, else made
            from the lengths; also a key of the predictions.
        sequence_feature_columns, context_feature_columns, units, cell_type, rnn_cell_fn, return_sequences, model_dir,
            optimizer, config: as in `RNNEstimator`.

    Raises:
        ValueError: as `RNNEstimator` and the heads.
        TypeError: with return_sequences, a weight column that is not a string.
    """

    def __init__(
        self,
        sequence_feature_columns: Any,
        context_feature_columns: Any = None,
        units: Any = None,
        cell_type: Any = USE_DEFAULT,
        rnn_cell_fn: Callable[[], Any] | None = None,
        return_sequences: bool = False,
        model_dir: Any = None,
        n_classes: int = 2,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = "Adagrad",
        loss_reduction: str = SUM_OVER_BATCH_SIZE,
        sequence_mask: str = "sequence_mask",
        config: Any = None,
    ) -> None:
        head = classifier_head(n_classes, weight_column, label_vocabulary, loss_reduction)
        if return_sequences:
            head = SequentialHeadWrapper(head, sequence_length_mask=sequence_mask, feature_columns=weight_column)
        super().__init__(
            head=head,
            sequence_feature_columns=sequence_feature_columns,
            context_feature_columns=context_feature_columns,
            units=units,
            cell_type=cell_type,
            rnn_cell_fn=rnn_cell_fn,
            return_sequences=return_sequences,
            model_dir=model_dir,
            optimizer=optimizer,
            config=config,
        )
