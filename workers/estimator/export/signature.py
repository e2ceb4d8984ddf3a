"""Signatures of a MetaGraph, from export outputs and receivers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from workers.estimator.export.output import PredictOutput
from workers.estimator.export.supervised_output import EvalOutput, TrainOutput
from workers.estimator.keys import ModeKeys

DEFAULT = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY

#: Tag and signature name of the MetaGraph of each mode.
TAGS = {ModeKeys.TRAIN: "train", ModeKeys.EVAL: "eval", ModeKeys.PREDICT: tf.saved_model.SERVING}
_SUPERVISED = {ModeKeys.TRAIN: TrainOutput, ModeKeys.EVAL: EvalOutput}

_log = logging.getLogger(__name__)


def signatures_of(spec: Any, receiver: Any) -> dict[str, Any]:
    """The signatures that `tf.estimator` gave to what `model_fn` returned for `receiver`."""
    alternatives = getattr(receiver, "receiver_tensors_alternatives", None)
    return signatures(export_outputs(spec), receiver.receiver_tensors, alternatives)


def export_outputs(spec: Any) -> dict[str, Any]:
    """Signature name to output of an `EstimatorSpec`.

    Raises:
        ValueError: `export_outputs` is missing in PREDICT mode, is no dict, or has several outputs and none of them
            is the default.
    """
    mode = spec.mode
    if mode in _SUPERVISED:
        predictions = spec.predictions if not isinstance(spec.predictions, Mapping) or spec.predictions else None
        metrics = {name: _metric_pair(metric) for name, metric in spec.eval_metric_ops.items()}
        return {TAGS[mode]: _SUPERVISED[mode](spec.loss, predictions, metrics)}
    outputs = spec.export_outputs
    if outputs is None:
        outputs = {DEFAULT: PredictOutput(spec.predictions)}
    if not isinstance(outputs, Mapping) or not outputs:
        raise ValueError(
            f"model_fn gave no export_outputs in PREDICT mode (found {outputs!r}); return "
            "EstimatorSpec(..., export_outputs={'serving_default': est.export.PredictOutput(predictions)})."
        )
    outputs = dict(outputs)
    if DEFAULT not in outputs:
        if len(outputs) > 1:
            raise ValueError(
                f"export_outputs has several entries {sorted(outputs)} and none is called {DEFAULT!r}; "
                "name the default one so."
            )
        outputs[DEFAULT] = next(iter(outputs.values()))
    return outputs


def signatures(
    outputs: Mapping[str, Any],
    receiver_tensors: Mapping[str, Any],
    alternatives: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Signature name to `SignatureDef`.

    An output that can't have these inputs (classification and regression want one string tensor of serialized
    examples) is left out with a line in the log, as `tf.estimator` does. Each alternative set of receivers gives
    `<name>:<output>`, and `<name>` for the default output.

    Raises:
        ValueError: no signature is left.
    """
    made: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for output_name, output in outputs.items():
        for receiver_name, tensors in {"": receiver_tensors, **(alternatives or {})}.items():
            name = _signature_name(output_name, receiver_name)
            try:
                made[name] = output.as_signature_def(tensors)
            except ValueError as error:
                left_out[name] = str(error)
    for name, reason in left_out.items():
        _log.info("Signature %r is left out of the export: %s", name, reason)
    if not made:
        raise ValueError(f"No signature can be exported with receivers {sorted(receiver_tensors)}: {left_out}")
    return made


def _signature_name(output_name: str, receiver_name: str) -> str:
    if not receiver_name:
        return output_name
    return receiver_name if output_name == DEFAULT else f"{receiver_name}:{output_name}"


def _metric_pair(metric: Any) -> tuple[Any, Any]:
    """`(value, update op)` of a Keras metric object that was updated in this graph, or the pair itself.

    The updates of a Keras 3 metric are the ops of this graph that write its variables.
    """
    if isinstance(metric, tuple | list):
        return metric[0], metric[1]
    written = {id(variable.value.handle) for variable in metric.variables}
    updates = [
        op
        for op in tf.compat.v1.get_default_graph().get_operations()
        if op.type in {"AssignAddVariableOp", "AssignVariableOp", "AssignSubVariableOp"}
        and id(op.inputs[0]) in written
        and "Initializer" not in op.name
    ]
    return tf.convert_to_tensor(metric.result()), tf.group(*updates)
