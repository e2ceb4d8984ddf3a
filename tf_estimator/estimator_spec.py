"""`EstimatorSpec`: what a `model_fn` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from .export_output import ExportOutput, PredictOutput
from .keys import MetricKeys, ModeKeys

v1 = tf.compat.v1


class _Fields(NamedTuple):
    mode: str | None
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
        mode: a `ModeKeys` value; None for a specification of which no field is asked.
        predictions: a tensor or a dict of tensors; needed in PREDICT mode.
        loss: the scalar training loss (a tensor of one element is reshaped); needed in TRAIN and EVAL modes.
        train_op: op that does one training step and raises the global step; needed in TRAIN mode.
        eval_metric_ops: name to a Metric object that has been updated, or to a `(value, update op)` tuple, where value
            is a tensor or a nest of tensors. The names `loss` and `global_step` are taken.
        export_outputs: signature name to an `export.ExportOutput`; left out in PREDICT mode, the predictions are
            exported as the default signature.
        training_chief_hooks, training_hooks, evaluation_hooks, prediction_hooks: session-run hooks.
        scaffold: a `tf.compat.v1.train.Scaffold`; an empty one if left out.

    Raises:
        ValueError: a field that the mode needs is missing, the loss is not a scalar, a tensor belongs to another graph,
            or a metric was never updated.
        TypeError: a field has the wrong type.
    """

    __slots__ = ()

    def __new__(
        cls,
        mode: str | None,
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
        _check_fields(mode, {"loss": loss, "train_op": train_op, "predictions": predictions})
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
        predictions = _checked_predictions({} if predictions is None else predictions)
        return super().__new__(
            cls,
            mode,
            predictions,
            None if loss is None else _scalar(loss),
            _checked_train_op(train_op),
            _checked_metrics(eval_metric_ops, mode),
            _checked_export_outputs(export_outputs, predictions, mode),
            tuple(training_chief_hooks or ()),
            tuple(training_hooks or ()),
            scaffold or v1.train.Scaffold(),
            tuple(evaluation_hooks or ()),
            tuple(prediction_hooks or ()),
        )

    def _replace(self, **kwargs: Any) -> EstimatorSpec:
        """A copy with other fields, checked as a new one is.

        Raises:
            ValueError: an unknown field, another mode, or what the constructor refuses.
        """
        unknown = sorted(set(kwargs) - set(self._fields))
        if unknown:
            raise ValueError(f"EstimatorSpec has no field {unknown}; it has {list(self._fields)}.")
        if kwargs.get("mode", self.mode) != self.mode:
            raise ValueError(f"The mode of an EstimatorSpec can't be changed: it is {self.mode!r}.")
        return type(self)(**{**self._asdict(), **kwargs})


_NEEDED = {
    ModeKeys.TRAIN: ("loss", "train_op"),
    ModeKeys.EVAL: ("loss",),
    ModeKeys.PREDICT: ("predictions",),
    None: (),
}


def _check_fields(mode: Any, given: Mapping[str, Any]) -> None:
    if mode not in _NEEDED:
        names = sorted(name for name in _NEEDED if name)
        raise ValueError(f"mode must be one of {names} (est.ModeKeys), not {mode!r}.")
    for field in _NEEDED[mode]:
        if given[field] is None:
            raise ValueError(f"model_fn returned an EstimatorSpec for mode {mode!r} without `{field}`; pass {field}=….")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, tf.Tensor | tf.Variable) or _is_keras_variable(value)


def _is_keras_variable(value: Any) -> bool:
    return isinstance(getattr(value, "value", None), tf.Variable)


def _check_graph(field: str, value: Any) -> None:
    """Refuses a field of an `EstimatorSpec` that was made in another graph.

    Raises:
        ValueError: `value` belongs to another graph than the present one.
    """
    if tf.executing_eagerly():
        return
    value = value.value if _is_keras_variable(value) else value
    if isinstance(value, tf.Variable):
        value = value.handle if hasattr(value, "handle") else value.op
    if isinstance(value, tf.Tensor | tf.Operation) and getattr(value, "graph", None) is not v1.get_default_graph():
        raise ValueError(
            f"{field} ({value.name}) must be from the default graph, but belongs to another one. Make it inside of "
            "model_fn, from the features and labels that it is given."
        )


def _scalar(loss: Any) -> Any:
    if not _is_tensor(loss):
        raise TypeError(f"loss must be a tensor, not {type(loss).__name__}: {loss!r}.")
    loss = tf.convert_to_tensor(loss)
    _check_graph("loss", loss)
    if loss.shape.rank in {0, None}:
        return loss
    if loss.shape.num_elements() not in {1, None}:
        raise ValueError(f"loss must be a scalar, its shape is {loss.shape}; reduce it with tf.reduce_mean or _sum.")
    return tf.reshape(loss, [])


def _checked_predictions(predictions: Any) -> Any:
    parts = predictions if isinstance(predictions, Mapping) else {"": predictions}
    for name, part in parts.items():
        field = f"predictions[{name!r}]" if name != "" else "predictions"
        if not _is_tensor(part):
            raise TypeError(f"{field} must be a tensor, not {type(part).__name__}: {part!r}.")
        _check_graph(field, part)
    return predictions


def _checked_train_op(train_op: Any) -> Any:
    if train_op is None:
        return None
    if not (_is_tensor(train_op) or isinstance(train_op, tf.Operation)):
        raise TypeError(f"train_op must be an operation or a tensor, not {type(train_op).__name__}: {train_op!r}.")
    _check_graph("train_op", train_op)
    return train_op


def _checked_metrics(metrics: Any, mode: str | None) -> dict[str, Any]:
    if metrics is None:
        return {}
    if not isinstance(metrics, Mapping):
        raise TypeError(f"eval_metric_ops must be a dict of name to metric, not {type(metrics).__name__}.")
    for name, metric in metrics.items():
        field = f"eval_metric_ops[{name!r}]"
        if isinstance(metric, tuple) and len(metric) == 2:
            _check_pair(field, metric)
        elif hasattr(metric, "result") and hasattr(metric, "variables"):
            _check_updated(field, metric)
        else:
            raise TypeError(f"{field} must be a Metric object or a (value, update op) tuple, not {metric!r}.")
    taken = sorted({MetricKeys.LOSS, v1.GraphKeys.GLOBAL_STEP} & set(metrics))
    if taken and mode == ModeKeys.EVAL:
        raise ValueError(
            f"A metric may not be called {taken[0]!r}: evaluate() always returns {_ALWAYS[taken[0]]} under that name."
        )
    return dict(metrics)


_ALWAYS = {MetricKeys.LOSS: "the mean loss", v1.GraphKeys.GLOBAL_STEP: "the step of the checkpoint"}


def _check_pair(field: str, pair: tuple[Any, Any]) -> None:
    for part in tf.nest.flatten(pair[0]):
        if not _is_tensor(part):
            raise TypeError(f"The value of {field} must be a tensor or a nest of tensors, it has {part!r}.")
        _check_graph(field, part)
    for part in tf.nest.flatten(pair[1]):
        if not (_is_tensor(part) or isinstance(part, tf.Operation)):
            raise TypeError(f"The update of {field} must be an operation or a tensor, not {part!r}.")
        _check_graph(field, part)


def _check_updated(field: str, metric: Any) -> None:
    """Refuses a metric without an update.

    Raises:
        ValueError: nothing was ever put into the metric, so that it would be reported as its initial value.
    """
    if tf.executing_eagerly():
        return
    updates = getattr(metric, "updates", None)
    if updates is None:  # A Keras metric: its update writes its variables.
        variables = [getattr(v, "value", v) for v in metric.variables]
        plain = [v for v in variables if isinstance(v, tf.Variable)]
        made = {v.initializer.name for v in plain} | {""}
        reads = {"ReadVariableOp", "VarIsInitializedOp"}
        users = [op for v in plain for op in v.handle.consumers() if op.type not in reads and op.name not in made]
        updates = users if variables else [None]
    if not updates:
        raise ValueError(f"{field} was never updated; call update_state(...) on the metric in model_fn.")


def _checked_export_outputs(outputs: Any, predictions: Any, mode: str | None) -> Any:
    default = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if outputs is None:
        return {default: PredictOutput(predictions)} if mode == ModeKeys.PREDICT else None
    if not isinstance(outputs, Mapping):
        raise TypeError(
            f"export_outputs must be a dict of signature name to ExportOutput, not {type(outputs).__name__}."
        )
    for name, output in outputs.items():
        if not isinstance(output, ExportOutput):
            raise TypeError(f"export_outputs[{name!r}] must be an est.export.ExportOutput, not {output!r}.")
    if mode != ModeKeys.PREDICT or default in outputs:
        return dict(outputs)
    if len(outputs) > 1:
        raise ValueError(f"export_outputs has {sorted(outputs)}; with several, one must be called {default!r}.")
    return {**outputs, default: next(iter(outputs.values()))} if outputs else {}


def _check_hooks(field: str, hooks: Any) -> None:
    for hook in hooks or ():
        if not isinstance(hook, v1.train.SessionRunHook):
            raise TypeError(f"{field} must hold tf.compat.v1.train.SessionRunHook objects, not {hook!r}.")
