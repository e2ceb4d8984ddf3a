"""Signatures of a MetaGraph, from export outputs and receivers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..export_output import PredictOutput
from ..graph import program_order
from ..keys import ModeKeys
from ..variables import TracedVariable
from .supervised_output import EvalOutput, TrainOutput

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
        metrics: dict[str, Any] = {}
        for name, metric in spec.eval_metric_ops.items():
            metrics.update(_metric_pairs(name, metric))
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


def _metric_pairs(name: str, metric: Any) -> dict[str, tuple[Any, Any]]:
    """`(value, update op)` by name, of a metric object that was updated in this graph, or the pair itself."""
    if isinstance(metric, tuple | list):
        return {name: (metric[0], metric[1])}
    updates = getattr(metric, "updates", None)
    if updates is None:  # A Keras metric: whatever it assigned to its variables so far.
        variables = [TracedVariable(v.path, v.value, keras=True) for v in metric.variables]
        updates = program_order.writes(tf.compat.v1.get_default_graph(), variables)
    value = metric.result()
    values = value if isinstance(value, Mapping) else {name: value}
    return {key: (tf.convert_to_tensor(part), tf.group(*updates)) for key, part in values.items()}
