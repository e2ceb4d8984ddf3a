"""Outputs of TRAIN and EVAL MetaGraphs: loss, predictions and metrics as one signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

LOSS = "loss"
PREDICTIONS = "predictions"
METRICS = "metrics"
METRIC_VALUE = "value"
METRIC_UPDATE = "update_op"


class SupervisedOutput:
    """Loss, predictions and metrics of one mode, named `loss`, `predictions/<key>` (or `predictions` for one tensor),
    `metrics/<name>/value` and `metrics/<name>/update_op`, as `tf.estimator` named them.

    Args:
        loss: a tensor, or a dict of those.
        predictions: a tensor, or a dict of those.
        metrics: name to a `(value tensor, update op)` pair.

    Raises:
        ValueError: a value is no tensor, or a metric is no pair.
    """

    method_name: ClassVar[str]

    def __init__(
        self,
        loss: Any = None,
        predictions: Any = None,
        metrics: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        self.loss = _named(loss, LOSS)
        self.predictions = _named(predictions, PREDICTIONS)
        self.metrics = _metric_tensors(metrics or {})

    def as_signature_def(self, receiver_tensors: Mapping[str, Any]) -> Any:
        """The signature of these outputs for inputs `receiver_tensors` (name to tensor)."""
        build = tf.compat.v1.saved_model.build_tensor_info
        outputs = {**self.loss, **self.predictions, **self.metrics}
        return tf.compat.v1.saved_model.signature_def_utils.build_signature_def(
            {name: build(tensor) for name, tensor in receiver_tensors.items()},
            {name: build(tensor) for name, tensor in outputs.items()},
            self.method_name,
        )


class TrainOutput(SupervisedOutput):
    """The output of a TRAIN MetaGraph."""

    method_name = "tensorflow/supervised/training"


class EvalOutput(SupervisedOutput):
    """The output of an EVAL MetaGraph."""

    method_name = "tensorflow/supervised/eval"


def _named(values: Any, prefix: str) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        values = {prefix: values}
    named = {}
    for key, tensor in values.items():
        if not isinstance(tensor, tf.Tensor):
            raise ValueError(f"{prefix} {key!r} must be a tensor to be exported, not {tensor!r}.")
        named[key if key == prefix else f"{prefix}/{key}"] = tensor
    return named


def _metric_tensors(metrics: Mapping[str, Any]) -> dict[str, Any]:
    named = {}
    for name, pair in metrics.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"Metric {name!r} must be a (value, update op) pair to be exported, not {pair!r}.")
        value, update = pair
        named[f"{METRICS}/{name}/{METRIC_VALUE}"] = _tensor(value)
        named[f"{METRICS}/{name}/{METRIC_UPDATE}"] = _tensor(update)
    return named


def _tensor(fetch: Any) -> Any:
    """`fetch` as a tensor; a signature can't name an op without output, so that one gives an empty constant."""
    if isinstance(fetch, tf.Operation):
        with tf.control_dependencies([fetch]):
            return tf.constant([], name=f"{fetch.name.rsplit('/', 1)[-1]}_done")
    return tf.convert_to_tensor(fetch)
