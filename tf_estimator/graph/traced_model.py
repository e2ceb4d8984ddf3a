"""A model_fn traced in a graph: the result of `build.trace_model`, which training, evaluation and prediction run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from ..distribution.strategy import ReplicaStrategy
from ..estimator_spec import EstimatorSpec
from .builder import FunctionBuilder
from .captures import Captures
from .definition import GraphDefinition
from .dependencies import Dependencies
from .graph_variables import GraphVariables
from .memo import Memo


@dataclass(frozen=True)
class EvaluationOps:
    """Metrics of a model traced in EVAL mode.

    Attributes:
        values: metric name to its value tensor.
        updates: operations that take one batch into the metrics.
        metric_keys: keys of the variables of Keras metrics.
        nests: metric name to a nest of names of `values`, for a metric that has several.
    """

    values: dict[str, tf.Tensor] = field(default_factory=dict)
    updates: list[Any] = field(default_factory=list)
    metric_keys: set[str] = field(default_factory=set)
    nests: dict[str, Any] = field(default_factory=dict)


@dataclass
class InitialValues:
    """Initial values of a trace's variables.

    Attributes:
        keep: whether the trace serves several Estimators, of which each starts with the values of a new trace. Its
            random operations would go on with further numbers.
        values: those of small models, by name, once they were computed.
    """

    keep: bool = False
    values: dict[str, tf.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class TracedModel:
    """One trace of a model_fn.

    Attributes:
        graph: the graph; hooks may still add operations to it.
        spec: what model_fn returned.
        batch: the placeholders of one batch, any nest; None when the batch is made in the graph itself.
        feeds: the components of `batch`.
        train_ops: in TRAIN mode, what one step runs.
        evaluation: in EVAL mode, the metrics.
        strategy: that of the replicas, if there are several.
        variables: the graph's.
        captures: the variables that functions capture.
        functions: builds and keeps functions of fetch sets.
        dependencies: what fetches depend on.
        memo: what else was made once for this trace.
        initial: the variables' initial values.
    """

    graph: tf.Graph
    spec: EstimatorSpec
    batch: Any
    feeds: Sequence[tf.Tensor]
    train_ops: Sequence[Any]
    evaluation: EvaluationOps
    strategy: ReplicaStrategy | None
    variables: GraphVariables
    captures: Captures
    functions: FunctionBuilder
    dependencies: Dependencies
    memo: Memo
    initial: InitialValues = field(default_factory=InitialValues)


def traced_model(
    variables: GraphVariables,
    spec: EstimatorSpec,
    batch: Any,
    feeds: Sequence[tf.Tensor],
    strategy: ReplicaStrategy | None,
    *,
    inputs: Collection[str] = (),
    train_ops: Sequence[Any] = (),
    evaluation: EvaluationOps | None = None,
) -> TracedModel:
    """A `TracedModel` of its parts; `inputs` names the operations that make the batch, where the graph itself does."""
    definition, memo = GraphDefinition(variables, inputs), Memo()
    captures = Captures(variables, None if strategy is None else strategy.replicas)
    return TracedModel(
        variables.graph,
        spec,
        batch,
        feeds,
        train_ops,
        evaluation or EvaluationOps(),
        strategy,
        variables,
        captures,
        FunctionBuilder(variables, definition, captures, feeds, strategy, memo),
        Dependencies(variables, definition, feeds, strategy),
        memo,
    )
