"""Making a trace: calls a model_fn in a graph and adds what the mode needs (metrics of the loss, step counters)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from ..distribution.divergence import check_metrics, settled
from ..distribution.replicas import Replicas
from ..distribution.strategy import ReplicaStrategy
from ..estimator_spec import EstimatorSpec
from ..inputs.input_fn import split_batch
from ..keys import MetricKeys, ModeKeys
from ..variables import VariableNames
from . import program_order
from .naming import NamingGraph
from .trace import Trace, in_fresh_thread

v1 = tf.compat.v1

EVAL_STEP = "eval_step"
GLOBAL_STEP = "global_step"

ModelFn = Callable[[Any, Any, str], EstimatorSpec]


@dataclass
class Evaluation:
    """Metrics of an EVAL trace.

    Attributes:
        values: metric name to its value tensor.
        updates: operations that take one batch into the metrics.
    """

    values: dict[str, tf.Tensor] = field(default_factory=dict)
    updates: list[Any] = field(default_factory=list)


def new_graph(seed: int | None) -> tf.Graph:
    """A graph with its seed and global step."""
    graph = NamingGraph()
    with graph.as_default():
        v1.set_random_seed(seed)
    return graph


def trace_model(
    graph: tf.Graph,
    names: VariableNames,
    model_fn: ModelFn,
    mode: str,
    *,
    spec: Any,
    batch: Any,
    device_fn: Any = None,
    replicas: Replicas | None = None,
) -> Trace:
    """Calls `model_fn` in `graph`.

    Args:
        graph: from `new_graph`; holds the input's operations already when `batch` is given.
        names: collects the variables.
        model_fn: takes features, labels, mode.
        mode: a `ModeKeys` value.
        spec: nest of type specs, from which placeholders are made; unused when `batch` is given.
        batch: nest of tensors of `graph`, or None.
        device_fn: as in `RunConfig`.
        replicas: who runs it, when it is more than one.

    Raises:
        ValueError: with several replicas, the step would make them differ.
    """

    def build() -> Trace:
        strategy = ReplicaStrategy(replicas, graph) if replicas is not None else None
        scope = strategy.tracing() if strategy is not None else contextlib.nullcontext()
        with graph.as_default(), names.collect(), graph.device(device_fn), scope:
            v1.train.get_or_create_global_step(graph)
            held = placeholders(spec) if batch is None else batch
            features, labels = split_batch(held, mode)
            made = model_fn(features, labels, mode)
            trace = Trace(graph, names, held if batch is None else None, made, strategy)
            trace.mode = mode
            if mode == ModeKeys.EVAL:
                trace.evaluation = _evaluation(trace, made)
                if strategy is not None:
                    check_metrics(strategy, trace.local_variables())
            elif mode == ModeKeys.TRAIN:
                # Assignments of Keras code belong to the step, whether or not the train_op leads to them.
                trace.train_ops = [trace.element(_plain(made.train_op))]
                known = {op.name for op in trace.train_ops}
                writes = program_order.assignments(graph, trace.variables())
                trace.train_ops += [op for op in writes if op.name not in known]
                if strategy is not None:
                    trace.train_ops = _in_step(trace, strategy)
            return trace

    return in_fresh_thread(build)  # type: ignore[no-any-return]


def _in_step(trace: Trace, strategy: ReplicaStrategy) -> list[Any]:
    """The training step's operations, so that replicas stay equal and all of them do all reductions."""
    operations = settled(strategy, trace.feeds, trace.model_variables(), trace.train_ops)
    if strategy.replicas.workers > 1:
        # A reduction that only one process asks for, for a summary, would wait for the others for ever.
        operations = [*operations, *(trace.graph.get_operation_by_name(mark.operation) for mark in strategy.marks)]
    return operations


def placeholders(spec: Any) -> Any:
    """A nest of placeholders for a nest of type specs."""
    return tf.nest.map_structure(_placeholder, spec)


def _placeholder(spec: tf.TypeSpec) -> Any:
    if isinstance(spec, tf.SparseTensorSpec):
        rank = spec.shape.rank
        sparse = tf.SparseTensor(
            v1.placeholder(tf.int64, [None, rank]), v1.placeholder(spec.dtype, [None]), v1.placeholder(tf.int64, [rank])
        )
        sparse.set_shape(spec.shape)
        return sparse
    if isinstance(spec, tf.RaggedTensorSpec):
        inner = spec.shape[spec.ragged_rank + 1 :] if spec.shape.rank is not None else None
        return v1.ragged.placeholder(spec.dtype, spec.ragged_rank, inner)
    if isinstance(spec, tf.TensorSpec):
        return v1.placeholder(spec.dtype, spec.shape)
    if isinstance(spec, tf.NoneTensorSpec) if hasattr(tf, "NoneTensorSpec") else spec is None:
        return None
    raise ValueError(f"input_fn gives {spec}, which is neither a dense, a sparse nor a ragged tensor.")


def _plain(item: Any) -> Any:
    """The TensorFlow variable of a Keras one; anything else as it is."""
    inner = getattr(item, "value", None)
    return inner if isinstance(inner, tf.Variable) else item


def _evaluation(trace: Trace, spec: EstimatorSpec) -> Evaluation:
    graph = trace.graph
    if MetricKeys.LOSS in spec.eval_metric_ops:
        raise ValueError('A metric may not be called "loss": evaluate() always returns the mean loss under that name.')
    result = Evaluation()
    metrics: dict[str, Any] = dict(spec.eval_metric_ops)
    metrics[MetricKeys.LOSS] = v1.metrics.mean(spec.loss)
    for name, metric in metrics.items():
        if isinstance(metric, tuple | list):
            value, update = metric
            result.values[name] = trace.element(value)
            result.updates.append(trace.element(update))
        else:
            _metric_object(trace, name, metric, result)
    step = v1.get_local_variable(
        EVAL_STEP, [], tf.int64, initializer=tf.zeros_initializer(), trainable=False, use_resource=True
    )
    with tf.control_dependencies(result.updates):
        result.updates.append(step.assign_add(1, read_value=False))
    result.values[GLOBAL_STEP] = trace.element(v1.train.get_global_step(graph))
    return result


def _metric_object(trace: Trace, name: str, metric: Any, result: Evaluation) -> None:
    handles = {_plain(v).handle.op.name for v in metric.variables}
    trace.metric_keys |= handles
    updates = getattr(metric, "updates", None)
    if updates is None:  # A Keras metric: whatever it assigned to its variables so far.
        updates = program_order.writes(trace.graph, [t for t in trace.variables() if t.key in handles])
    result.updates += [trace.element(update) for update in updates]
    value = metric.result()
    parts: Mapping[str, Any] = value if isinstance(value, Mapping) else {name: value}
    for key, part in parts.items():
        result.values[key] = trace.element(tf.convert_to_tensor(part))


__all__ = ["EVAL_STEP", "GLOBAL_STEP", "Evaluation", "new_graph", "placeholders", "trace_model"]
