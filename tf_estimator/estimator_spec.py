"""`EstimatorSpec`: what a `model_fn` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from .keys import ModeKeys

v1 = tf.compat.v1


class _Fields(NamedTuple):
    mode: str
    predictions: Any
    loss: Any
    train_op: Any
    eval_metric_ops: Mapping[str, Any]
    export_outputs: Mapping[str, Any] | None
    training_chief_hooks: Sequence[Any]
    training_hooks: Sequence[Any]
    scaffold: Any
    evaluation_hooks: Sequence[Any]
    prediction_hooks: Sequence[Any]


class EstimatorSpec(_Fields):
    """Ops and objects that `model_fn` returns, checked when it is made.

    Args:
        mode: a `ModeKeys` value.
        predictions: a tensor or a dict of tensors; needed in PREDICT mode.
        loss: the scalar training loss (a tensor of one element is reshaped); needed in TRAIN and EVAL modes.
        train_op: op that does one training step and raises the global step; needed in TRAIN mode.
        eval_metric_ops: name to a Metric object, or to a `(value tensor, update op)` pair.
        export_outputs: signature name to an `export.ExportOutput`; left out in PREDICT mode, the predictions are
            exported as the default signature.
        training_chief_hooks, training_hooks, evaluation_hooks, prediction_hooks: session-run hooks.
        scaffold: a `tf.compat.v1.train.Scaffold`.

    Raises:
        ValueError: a field that the mode needs is missing, or the loss is not a scalar.
        TypeError: a field has the wrong type.
    """

    __slots__ = ()

    def __new__(
        cls,
        mode: str,
        predictions: Any = None,
        loss: Any = None,
        train_op: Any = None,
        eval_metric_ops: Mapping[str, Any] | None = None,
        export_outputs: Mapping[str, Any] | None = None,
        training_chief_hooks: Sequence[Any] | None = None,
        training_hooks: Sequence[Any] | None = None,
        scaffold: Any = None,
        evaluation_hooks: Sequence[Any] | None = None,
        prediction_hooks: Sequence[Any] | None = None,
    ) -> EstimatorSpec:
        needed = {
            ModeKeys.TRAIN: ("loss", "train_op"),
            ModeKeys.EVAL: ("loss",),
            ModeKeys.PREDICT: ("predictions",),
        }
        if mode not in needed:
            raise ValueError(f"mode must be one of {sorted(needed)} (est.ModeKeys), not {mode!r}.")
        given = {"loss": loss, "train_op": train_op, "predictions": predictions}
        for field in needed[mode]:
            if given[field] is None:
                raise ValueError(
                    f"model_fn returned an EstimatorSpec for mode {mode!r} without `{field}`; pass {field}=…."
                )
        hooks = {
            "training_chief_hooks": training_chief_hooks,
            "training_hooks": training_hooks,
            "evaluation_hooks": evaluation_hooks,
            "prediction_hooks": prediction_hooks,
        }
        for field, value in hooks.items():
            _check_hooks(field, value)
        if scaffold is not None and not isinstance(scaffold, v1.train.Scaffold):
            raise TypeError(f"scaffold must be a tf.compat.v1.train.Scaffold, not {scaffold!r}.")
        return super().__new__(
            cls,
            mode,
            _checked_predictions({} if predictions is None else predictions),
            None if loss is None else _scalar(loss),
            _checked_train_op(train_op),
            _checked_metrics(eval_metric_ops),
            _checked_export_outputs(export_outputs),
            tuple(training_chief_hooks or ()),
            tuple(training_hooks or ()),
            scaffold,
            tuple(evaluation_hooks or ()),
            tuple(prediction_hooks or ()),
        )


def _is_tensor(value: Any) -> bool:
    return isinstance(value, tf.Tensor | tf.SparseTensor | tf.RaggedTensor | tf.Variable | tf.IndexedSlices)


def _is_keras_variable(value: Any) -> bool:
    return isinstance(getattr(value, "value", None), tf.Variable)


def _scalar(loss: Any) -> Any:
    if not isinstance(loss, tf.Tensor):
        loss = tf.convert_to_tensor(loss)
    if loss.shape.rank == 0:
        return loss
    if loss.shape.num_elements() not in {1, None} or loss.shape.rank is None:
        raise ValueError(f"loss must be a scalar, its shape is {loss.shape}; reduce it with tf.reduce_mean or _sum.")
    return tf.reshape(loss, [])


def _checked_predictions(predictions: Any) -> Any:
    parts = predictions.values() if isinstance(predictions, Mapping) else [predictions]
    for part in parts:
        if not _is_tensor(part):
            raise TypeError(
                f"predictions must be a tensor or a dict of tensors, it has {type(part).__name__}: {part!r}."
            )
    return predictions


def _checked_train_op(train_op: Any) -> Any:
    if train_op is None or _is_tensor(train_op) or isinstance(train_op, tf.Operation) or _is_keras_variable(train_op):
        return train_op
    raise TypeError(f"train_op must be an operation or a tensor, not {type(train_op).__name__}: {train_op!r}.")


def _checked_metrics(metrics: Any) -> dict[str, Any]:
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise TypeError(f"eval_metric_ops must be a dict of name to metric, not {type(metrics).__name__}.")
    for name, metric in metrics.items():
        pair = isinstance(metric, tuple | list) and len(metric) == 2
        if not pair and not (hasattr(metric, "result") and hasattr(metric, "variables")):
            raise TypeError(
                f"eval_metric_ops[{name!r}] must be a Metric object or a (value, update op) pair, not {metric!r}."
            )
    return dict(metrics)


def _checked_export_outputs(outputs: Any) -> Any:
    if outputs is None:
        return None
    if not isinstance(outputs, Mapping):
        raise TypeError(
            f"export_outputs must be a dict of signature name to ExportOutput, not {type(outputs).__name__}."
        )
    for name, output in outputs.items():
        if not hasattr(output, "as_signature_def"):
            raise TypeError(f"export_outputs[{name!r}] must be an est.export.ExportOutput, not {output!r}.")
    default = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if len(outputs) > 1 and default not in outputs:
        raise ValueError(f"export_outputs has {sorted(outputs)}; with several, one must be called {default!r}.")
    if len(outputs) == 1 and default not in outputs:
        return {**outputs, default: next(iter(outputs.values()))}
    return dict(outputs)


def _check_hooks(field: str, hooks: Any) -> None:
    for hook in hooks or ():
        if not isinstance(hook, v1.train.SessionRunHook):
            raise TypeError(f"{field} must hold tf.compat.v1.train.SessionRunHook objects, not {hook!r}.")
