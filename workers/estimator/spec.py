"""`EstimatorSpec`: what a `model_fn` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from workers.estimator.keys import ModeKeys


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
        # The checks (types, graphs, shapes) belong here; see tests/estimator/test_spec.py.
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
        return super().__new__(
            cls,
            mode,
            {} if predictions is None else predictions,
            loss,
            train_op,
            dict(eval_metric_ops or {}),
            export_outputs,
            tuple(training_chief_hooks or ()),
            tuple(training_hooks or ()),
            scaffold,
            tuple(evaluation_hooks or ()),
            tuple(prediction_hooks or ()),
        )
