"""Metrics of a model traced in EVAL mode: their update operations and value tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..estimator_spec import EstimatorSpec
from ..keys import EVAL_STEP, GLOBAL_STEP, MetricKeys
from . import program_order
from .fetches import element_of
from .graph_variables import GraphVariables
from .traced_model import EvaluationOps

v1 = tf.compat.v1


def add_metrics(variables: GraphVariables, spec: EstimatorSpec) -> EvaluationOps:
    """Adds the mean loss, the batch counter and the metrics of `spec` to the graph, which must be the current one."""
    result = EvaluationOps()
    metrics: dict[str, Any] = dict(spec.eval_metric_ops)
    metrics[MetricKeys.LOSS] = v1.metrics.mean(spec.loss)
    for name, metric in metrics.items():
        if isinstance(metric, tuple | list):
            value, update = metric
            parts = {name: value}
            if tf.nest.is_nested(value):
                parts = {f"{name}/{i}": part for i, part in enumerate(tf.nest.flatten(value))}
                result.nests[name] = tf.nest.pack_sequence_as(value, list(parts))
            result.values.update({key: element_of(variables, part) for key, part in parts.items()})
            result.updates.extend(element_of(variables, part) for part in tf.nest.flatten(update))
        else:
            _add_metric_object(variables, name, metric, result)
    step = v1.get_local_variable(
        EVAL_STEP, [], tf.int64, initializer=tf.zeros_initializer(), trainable=False, use_resource=True
    )
    with tf.control_dependencies(result.updates):
        result.updates.append(step.assign_add(1, read_value=False))
    result.values[GLOBAL_STEP] = element_of(variables, v1.train.get_global_step(variables.graph))
    return result


def plain_variable(item: Any) -> Any:
    """The TensorFlow variable of a Keras one; anything else as it is."""
    inner = getattr(item, "value", None)
    return inner if isinstance(inner, tf.Variable) else item


def _add_metric_object(variables: GraphVariables, name: str, metric: Any, result: EvaluationOps) -> None:
    handles = {plain_variable(v).handle.op.name for v in metric.variables}
    result.metric_keys.update(handles)
    updates = getattr(metric, "updates", None)
    if updates is None:  # A Keras metric: whatever it assigned to its variables so far.
        updates = program_order.writes(variables.graph, [t for t in variables.all() if t.key in handles])
    result.updates.extend(element_of(variables, update) for update in updates)
    value = metric.result()
    parts: Mapping[str, Any] = value if isinstance(value, Mapping) else {name: value}
    for key, part in parts.items():
        result.values[key] = element_of(variables, tf.convert_to_tensor(part))
