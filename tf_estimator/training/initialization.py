"""Giving variables their values before a run: from a checkpoint, from initializers, from a warm start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ..checkpoint import files
from ..graph.trace import Trace
from ..variables import TracedVariable, VariableSet
from .scaffold import check_ready, local_writes, restore_through, saver_of, scaffold_init, scaffold_local_init

v1 = tf.compat.v1


def prepare(
    trace: Trace, state: VariableSet, path: str | None, warm_start: Callable[[Trace, VariableSet], None] | None
) -> None:
    """Makes `state` hold what the trace's model variables are at `path`, and initializes local ones and tables.

    Args:
        trace: whose variables are needed.
        state: variables that it has already are taken to be right, if `state.path` is `path` and no saver of the
            model's own may give them other values.
        path: a checkpoint's prefix, or None for initial values.
        warm_start: applied after initialization where there is no checkpoint.

    Raises:
        CheckpointError: the checkpoint does not fit.
        NotReadyError: what the Scaffold holds leaves variables without a value, or says that the model is not ready.
    """
    traced = trace.model_variables()
    trace.reference.ensure(traced)
    keep = state.path == path and state.names() and (path is None or saver_of(trace) is None)
    fresh = state.ensure(traced) if keep else _all(state, traced)
    without: set[str] = set()
    if path is not None:
        without = _restore(trace, state, path, fresh)
    elif fresh:
        _initialize(trace, state, fresh)
        if warm_start is not None:
            warm_start(trace, state)
        without = scaffold_init(trace, state)
    state.path = path
    check_ready(trace, state, "ready_for_local_init_op", without)
    initialize_local(trace, state)
    check_ready(trace, state, "ready_op", without - local_writes(trace))


def _all(state: VariableSet, traced: list[TracedVariable]) -> list[TracedVariable]:
    state.ensure(traced)
    return list(traced)


def _restore(trace: Trace, state: VariableSet, path: str, wanted: list[TracedVariable]) -> set[str]:
    """Restores `wanted`; returns the names of those that a saver of the model's own leaves out."""
    if not wanted:
        return set()
    saver = saver_of(trace)
    if saver is not None:
        return restore_through(saver, trace, state, path)
    reader = files.Reader(path)
    dispensable = [t.name for t in wanted if t.dispensable]
    values = reader.values({t.name: t.variable for t in wanted}, optional=dispensable)
    files.check_finite(path, values, [t.name for t in wanted if t.trainable])
    state.assign(values)
    _initialize(trace, state, [t for t in wanted if t.name not in values])
    return set()


def _initialize(trace: Trace, state: VariableSet, variables: list[TracedVariable]) -> None:
    if variables:
        trace.function([t.variable.initializer for t in variables], [])([], state)


def initialize_local(trace: Trace, state: VariableSet) -> None:
    """Sets local variables (metrics) to their start, and fills the tables once."""
    local = trace.local_variables()
    trace.local.ensure(local)
    graph = trace.graph
    # Each replica has its own, which a function sets.
    alone = trace.strategy is None
    starts = trace.cached(("starts", graph.version), lambda: _constant_starts(graph, local)) if alone else {}
    trace.local.assign(starts)
    operations = [t.variable.initializer for t in local if t.name not in starts]
    tables = [op for op in graph.get_collection(v1.GraphKeys.TABLE_INITIALIZERS) if op is not None]
    if tables:
        trace.cached(("tables", len(tables)), lambda: trace.step_function(tables, batch=False)([], state))
    if operations:
        trace.step_function(operations, batch=False)([], state)
    scaffold_local_init(trace, state)


def _constant_starts(graph: tf.Graph, variables: list[TracedVariable]) -> dict[str, Any]:
    """Initial values that are known without running anything, by name: zero, mostly. They need no function."""
    with graph.as_default():  # where a variable of the graph gives its initial value
        values = {t.name: tf.get_static_value(t.variable.initial_value) for t in variables}
    return {name: value for name, value in values.items() if value is not None}
