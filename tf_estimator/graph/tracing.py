"""Tracing: calls a model_fn in a graph and adds what the mode needs (metrics of the loss, step counters)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ..distribution.divergence import check_metrics, synchronized
from ..distribution.replicas import Replicas
from ..distribution.strategy import ReplicaStrategy
from ..estimator_spec import EstimatorSpec
from ..keys import ModeKeys
from ..model_fn import split_batch
from ..variables import VariableNames
from . import keras_seeds, program_order
from .fetches import element_of
from .graph_variables import GraphVariables
from .metric_updates import add_metrics, plain_variable
from .naming import NamingGraph
from .threads import in_fresh_thread
from .traced_model import TracedModel, traced_model

v1 = tf.compat.v1

ModelFn = Callable[[Any, Any, str], EstimatorSpec]


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
) -> TracedModel:
    """Calls `model_fn` in `graph`.

    Args:
        graph: from `new_graph`; holds the input's operations already when `batch` is given.
        names: collects the variables.
        model_fn: takes features, labels, mode.
        mode: a `ModeKeys` value.
        spec: nest of type specs, from which placeholders are made; unused when `batch` is given.
        batch: nest of tensors of `graph`, or None.
        device_fn: as in `RunConfig`.
        replicas: those of the run, if there are several.

    Raises:
        ValueError: with several replicas, the step would make them differ.
    """

    def build() -> TracedModel:
        strategy = ReplicaStrategy(replicas, graph) if replicas is not None else None
        scope = strategy.tracing() if strategy is not None else contextlib.nullcontext()
        with graph.as_default(), names.collect(), graph.device(device_fn), scope:
            v1.train.get_or_create_global_step(graph)
            held = placeholders(spec) if batch is None else None
            features, labels = split_batch(batch if held is None else held, mode)
            with keras_seeds.drawn_from(graph.seed):
                made = model_fn(features, labels, mode)
            feeds = [] if held is None else _tensors(held)
            inputs = [tensor.op.name for tensor in _tensors(batch)] if held is None else []
            variables = GraphVariables(graph, names)
            if mode == ModeKeys.EVAL:
                evaluation = add_metrics(variables, made)
                variables = variables.with_metrics(evaluation.metric_keys)
                if strategy is not None:
                    check_metrics(strategy, variables.local())
                return traced_model(variables, made, held, feeds, strategy, inputs=inputs, evaluation=evaluation)
            train_ops = _train_ops(variables, made, feeds, strategy) if mode == ModeKeys.TRAIN else []
            return traced_model(variables, made, held, feeds, strategy, inputs=inputs, train_ops=train_ops)

    return in_fresh_thread(build)  # type: ignore[no-any-return]


def _train_ops(
    variables: GraphVariables, spec: EstimatorSpec, feeds: Sequence[tf.Tensor], strategy: ReplicaStrategy | None
) -> list[Any]:
    """The operations of a training step, so that replicas stay equal and all of them do all reductions."""
    operations = [element_of(variables, plain_variable(spec.train_op))]
    # Assignments of Keras code belong to the step, whether or not the train_op leads to them.
    writes = program_order.assignments(variables.graph, variables.all())
    operations += [op for op in writes if op.name != operations[0].name]
    if strategy is None:
        return operations
    operations = synchronized(strategy, feeds, variables.model(), operations)
    if strategy.replicas.workers > 1:
        # A reduction that only one process asks for, for a summary, would wait for the others for ever.
        marks = (variables.graph.get_operation_by_name(mark.operation) for mark in strategy.marks)
        operations = [*operations, *marks]
    return operations


def _tensors(batch: Any) -> list[tf.Tensor]:
    """The components of a batch; `None` for labels, as in `return features, None`, has none."""
    return [part for part in tf.nest.flatten(batch, expand_composites=True) if part is not None]


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
    if isinstance(spec, tf.NoneTensorSpec):
        return None
    raise ValueError(f"input_fn gives {spec}, which is neither a dense, a sparse nor a ragged tensor.")
