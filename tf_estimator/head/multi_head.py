"""`MultiHead`: several heads over one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..export_output import PredictOutput
from ..keys import MetricKeys, ModeKeys
from ..metrics import Mean
from ..optimizer import TRAINING_SCOPE
from .base import PREDICT, SERVING_DEFAULT, Head, with_regularization


class MultiHead(Head):
    """Learns several objectives at once; the loss is the weighted sum of the heads' losses.

    Logits are one tensor, cut along its last dimension in the order of the heads, or a dict by head name; labels are
    a dict by head name. Predictions have the keys `(head name, key)`.

    Args:
        heads: heads, each with a name; the first answers the default signature.
        head_weights: weight of each head's loss; all 1 if None.

    Raises:
        ValueError: no heads, one without a name, two of one name, or another number of weights than of heads.
    """

    def __init__(self, heads: Sequence[Head], head_weights: Sequence[float] | None = None) -> None:
        if not heads:
            raise ValueError(f"Must specify heads. Given: {heads}.")
        if head_weights and len(head_weights) != len(heads):
            raise ValueError(
                "heads and head_weights must have the same size. "
                f"Given len(heads): {len(heads)}. Given len(head_weights): {len(head_weights)}."
            )
        for head in heads:
            if head.name is None:
                raise ValueError(f"All given heads must have name specified. Given: {head}.")
        if len({head.name for head in heads}) != len(heads):
            raise ValueError(f"Heads must have different names. Given: {[head.name for head in heads]}.")
        self._heads = tuple(heads)
        self._head_weights = tuple(head_weights or (1.0,) * len(heads))

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads, in order."""
        return self._heads

    @property
    def name(self) -> str:
        return "_".join(str(head.name) for head in self._heads)

    @property
    def logits_dimension(self) -> int:
        return sum(head.logits_dimension for head in self._heads)

    @property
    def training_scope(self) -> str:
        """See `Head.training_scope`: the old library had used `training` up on the heads, and one more for each."""
        return f"{TRAINING_SCOPE}_{len(self._heads)}"

    @property
    def loss_reduction(self) -> str:
        reductions = [head.loss_reduction for head in self._heads]
        if len(set(reductions)) > 1:
            raise ValueError(f"The loss_reduction must be the same for different heads. Given: {reductions}.")
        return reductions[0]

    def loss(
        self,
        labels: Any,
        logits: Any,
        features: Mapping[str, Any] | None = None,
        mode: str | None = None,
        regularization_losses: Sequence[Any] | None = None,
    ) -> tf.Tensor:
        """See `Head.loss`."""
        by_head = self._by_head(logits)
        self._check_labels(labels)
        losses = [head.loss(labels[head.name], by_head[head.name], features, mode) for head in self._heads]
        if mode == ModeKeys.TRAIN:
            with tf.compat.v1.name_scope(None):
                for head, loss in zip(self._heads, losses, strict=True):
                    tf.compat.v1.summary.scalar(self._loss_key(head), loss)
        weighted = [loss * weight for loss, weight in zip(losses, self._head_weights, strict=True)]
        return with_regularization(tf.add_n(weighted), regularization_losses)

    def predictions(self, logits: Any, keys: Sequence[Any] | None = None) -> dict[Any, tf.Tensor]:
        """See `Head.predictions`; keys are pairs of head name and that head's key."""
        by_head = self._by_head(logits)
        predictions = {
            (head.name, key): value
            for head in self._heads
            for key, value in head.predictions(by_head[head.name]).items()
        }
        for key in keys or ():
            if key not in predictions:
                raise ValueError(f"Prediction key must be one of {list(predictions)}, given: {key!r}.")
        return {key: predictions[key] for key in keys} if keys else predictions

    def metrics(self, regularization_losses: Sequence[Any] | None = None) -> dict[str, Any]:
        """See `Head.metrics`; those of the heads, and the loss of each."""
        metrics: dict[str, Any] = dict(self._regularization_metric(regularization_losses))
        for head in self._heads:
            metrics[self._loss_key(head)] = Mean(self._loss_key(head))
            metrics |= head.metrics()
        return metrics

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
        by_head = self._by_head(logits)
        self._check_labels(labels)
        for head in self._heads:
            here, wanted = by_head[head.name], labels[head.name]
            eval_metrics[self._loss_key(head)].update_state(head.loss(wanted, here, features, mode))
            eval_metrics.update(head.update_metrics(eval_metrics, features, here, wanted))
        self._update_regularization(eval_metrics, regularization_losses)
        return eval_metrics

    def export_outputs(self, predictions: dict[Any, tf.Tensor]) -> dict[str, Any]:
        """See `Head.export_outputs`: the first head's default, each head's under its name, all predictions."""
        outputs: dict[str, Any] = {}
        for head in self._heads:
            own = {key: value for (name, key), value in predictions.items() if name == head.name}
            for key, output in head.export_outputs(own).items():
                outputs[str(head.name) if key == SERVING_DEFAULT else f"{head.name}/{key}"] = output
        return {SERVING_DEFAULT: outputs[str(self._heads[0].name)], **outputs, PREDICT: PredictOutput(predictions)}

    def _add_summaries(self, loss: Any, regularization_losses: Sequence[Any] | None) -> None:
        # The sum is the estimator's `loss`; those of the heads were added with them.
        with tf.compat.v1.name_scope(None):
            if regularization_losses:
                tf.compat.v1.summary.scalar(MetricKeys.LOSS_REGULARIZATION, tf.add_n(list(regularization_losses)))

    def _loss_key(self, head: Head) -> str:
        return f"{MetricKeys.LOSS}/{head.name}"

    def _by_head(self, logits: Any) -> dict[Any, Any]:
        names = [head.name for head in self._heads]
        if isinstance(logits, Mapping):
            missing = sorted(set(map(str, names)) - set(logits))
            if missing:
                raise ValueError(f"logits has missing values for head(s): {missing}.")
            return dict(logits)
        logits = tf.convert_to_tensor(logits)
        sizes = [head.logits_dimension for head in self._heads]
        if logits.shape.rank is not None and logits.shape[-1] not in {None, sum(sizes)}:
            raise ValueError(
                f"Could not split logits of shape {logits.shape} among the heads with individual logits dimensions: "
                f"{sizes}. The last dimension of the logits tensor should equal {sum(sizes)}."
            )
        return dict(zip(names, tf.split(logits, sizes, axis=-1), strict=True))

    def _check_labels(self, labels: Any) -> None:
        if not isinstance(labels, Mapping):
            raise ValueError(f"labels must be a dict by head name. Given: {labels}.")
        missing = sorted({str(head.name) for head in self._heads} - set(labels))
        if missing:
            raise ValueError(f"labels has missing values for head(s): {missing}.")
