"""`SequentialHeadWrapper`: a head for every step of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..estimator_spec import EstimatorSpec
from ..keys import ModeKeys
from .base import Head
from .multi_head import MultiHead


class SequentialHeadWrapper(Head):
    """Gives the steps of all sequences in a batch to another head as rows, leaving the padding out.

    Logits are `[batch, time, …]`; labels and the named features are tensors of that shape, or SparseTensors that hold
    one value for each step that is not padding.

    Args:
        static_head: the head of a step; not a `MultiHead`.
        sequence_length_mask: key in features of the mask, bool `[batch, time]`, true where a step is.
        feature_columns: key or keys of the features that the static head reads (its weight column).

    Raises:
        TypeError: a key is not a string.
        ValueError: the static head is a `MultiHead`.
    """

    def __init__(
        self,
        static_head: Head,
        sequence_length_mask: str = "sequence_length_mask",
        feature_columns: str | Iterable[str] | None = None,
    ) -> None:
        if not isinstance(sequence_length_mask, str):
            raise TypeError(f"`sequence_mask` column must be a string. Given type: {type(sequence_length_mask)}.")
        if feature_columns is not None and not isinstance(feature_columns, Iterable):
            raise TypeError(
                f"`feature_columns` must be either a string or an iterable of strings got {feature_columns} instead."
            )
        columns = [feature_columns] if isinstance(feature_columns, str) else list(feature_columns or ())
        for column in columns:
            if not isinstance(column, str):
                raise TypeError(f"Column must be a string. Given type: {type(column)}.")
        if isinstance(static_head, MultiHead):
            raise ValueError("`MultiHead` is not supported with `SequentialHeadWrapper`. Wrap a single head.")
        self._static_head = static_head
        self._sequence_length_mask = sequence_length_mask
        self._feature_columns = columns

    @property
    def static_head(self) -> Head:
        """The head of a step."""
        return self._static_head

    @property
    def input_sequence_mask_key(self) -> str:
        """Key in features of the sequence mask."""
        return self._sequence_length_mask

    @property
    def name(self) -> str | None:
        return f"{self._static_head.name}_sequential" if self._static_head.name else None

    @property
    def logits_dimension(self) -> int:
        return self._static_head.logits_dimension

    @property
    def loss_reduction(self) -> str:
        return self._static_head.loss_reduction

    def loss(
        self,
        labels: Any,
        logits: Any,
        features: Mapping[str, Any] | None = None,
        mode: str | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> tf.Tensor:
        """See `Head.loss`."""
        flat_labels, flat_logits, flat_features = self._flat(labels, logits, features)
        return self._static_head.loss(flat_labels, flat_logits, flat_features, mode, regularization_losses)

    def predictions(self, logits: Any, keys: Sequence[str] | None = None) -> dict[Any, tf.Tensor]:
        """See `Head.predictions`; `[batch, time, …]`, padding included."""
        return self._static_head.predictions(logits, keys)

    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """See `Head.metrics`."""
        return self._static_head.metrics(regularization_losses)

    def update_metrics(
        self,
        eval_metrics: dict[str, Any],
        features: Mapping[str, Any] | None,
        logits: Any,
        labels: Any,
        mode: str | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """See `Head.update_metrics`."""
        flat_labels, flat_logits, flat_features = self._flat(labels, logits, features)
        return self._static_head.update_metrics(
            eval_metrics, flat_features, flat_logits, flat_labels, mode, regularization_losses
        )

    def export_outputs(self, predictions: dict[Any, tf.Tensor]) -> dict[str, Any]:
        """See `Head.export_outputs`."""
        return self._static_head.export_outputs(predictions)

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
        """See `Head.create_estimator_spec`; predictions also hold the sequence mask."""
        if mode == ModeKeys.PREDICT:
            spec = self._static_head.create_estimator_spec(features=features, mode=mode, logits=logits)
            mask = {self._sequence_length_mask: self._mask(features)}
            return spec._replace(predictions={**spec.predictions, **mask})
        flat_labels, flat_logits, flat_features = self._flat(labels, logits, features)
        return self._static_head.create_estimator_spec(
            flat_features,
            mode,
            flat_logits,
            flat_labels,
            optimizer,
            trainable_variables,
            train_op_fn,
            update_ops,
            regularization_losses,
        )

    def _mask(self, features: Mapping[str, Any] | None) -> Any:
        if not features or self._sequence_length_mask not in features:
            raise ValueError(
                f"The provided sequence_length_mask key `{self._sequence_length_mask}` should be included in the "
                f"features dictionary, but was not found. Found keys: {sorted(features or {})}."
            )
        mask = features[self._sequence_length_mask]
        if mask.shape.rank != 2:
            raise ValueError(f"Mask is expected to have two dimensions, got {mask.shape.rank} instead.")
        return mask

    def _flat(self, labels: Any, logits: Any, features: Mapping[str, Any] | None) -> tuple[Any, Any, dict[str, Any]]:
        mask = self._mask(features)
        if labels is None:
            raise ValueError("You must provide a labels Tensor. Given: None.")
        steps = tf.reduce_sum(tf.cast(mask, tf.int32))
        flat_features = {}
        for column in self._feature_columns:
            if features is None or column not in features:
                raise ValueError(f"`{column}` column expected in features dictionary.")
            flat_features[column] = _flat_steps(features[column], mask, steps)
        return _flat_steps(labels, mask, steps), _flat_steps(logits, mask, steps), flat_features


def _flat_steps(tensor: Any, mask: Any, steps: Any) -> tf.Tensor:
    """`[batch, time, …]` as `[steps, …]`, or `[steps, 1]` when there is nothing after the time."""
    shape = tensor.shape
    if shape.rank is not None and shape.rank < 2:
        raise ValueError(f"Input tensor expected to have at least 2 dimensions, got {shape.rank} instead.")
    if isinstance(tensor, tf.sparse.SparseTensor):
        flat = tf.sparse.reorder(tensor).values
        flat = tf.reshape(flat, [-1, *shape[2:]]) if shape.rank is not None and shape.rank > 2 else flat
    else:
        flat = tf.boolean_mask(tensor, mask)
    if shape.rank == 2:
        flat = tf.expand_dims(flat, -1)
    fits = tf.raw_ops.Assert(
        condition=tf.equal(tf.shape(flat)[0], steps),
        data=["Tensor shape is incompatible with provided mask: it must hold one value per step.", tf.shape(flat)],
        summarize=4,
    )
    with tf.control_dependencies([fits]):
        return tf.identity(flat)
