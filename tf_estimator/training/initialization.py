"""Values of variables before a run: from a checkpoint, from initializers, from a warm start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ..checkpoint import files
from ..graph.traced_model import TracedModel
from ..variables import TracedVariable, VariableSet
from .scaffold import check_ready, local_writes, restore_through, saver_of, scaffold_init, scaffold_local_init

v1 = tf.compat.v1

#: Initial values of a shared trace that are kept; those of larger models are computed again.
_KEPT_BYTES = 1 << 20


def restore_or_initialize(
    trace: TracedModel,
    state: VariableSet,
    path: str | None,
    warm_start: Callable[[TracedModel, VariableSet], None] | None,
) -> None:
    """Makes `state` hold what the trace's model variables are at `path`, and initializes local ones and tables.

    Args:
        trace: whose variables are needed.
        state: variables that it has already are right if it matches `path` and no saver of the model's own may give
            them other values.
        path: a checkpoint's prefix, or None for initial values.
        warm_start: applied after initialization where there is no checkpoint.

    Raises:
        CheckpointError: the checkpoint does not fit.
        NotReadyError: what the Scaffold holds leaves variables without a value, or says that the model is not ready.
    """
    traced = trace.variables.model()
    trace.captures.reference.ensure(traced)
    missing = state.ensure(traced)
    keep = state.matches(path) and (path is None or saver_of(trace) is None)
    fresh = missing if keep else list(traced)
    if fresh:
        state.mark_modified()  # until all is done: an error may come in between
    without: set[str] = set()
    if path is not None:
        without = _restore(trace, state, path, fresh)
    elif fresh:
        _initialize(trace, state, fresh)
        if warm_start is not None:
            warm_start(trace, state)
        without = scaffold_init(trace, state)
    check_ready(trace, state, "ready_for_local_init_op", without)
    initialize_local(trace, state)
    check_ready(trace, state, "ready_op", without - local_writes(trace))
    state.loaded_from(path)


def initialize_missing(trace: TracedModel, state: VariableSet) -> None:
    """Keeps the values that `state` has, and initializes the trace's other variables, local ones and tables."""
    trace.captures.reference.ensure(trace.variables.model())
    _initialize(trace, state, state.ensure(trace.variables.model()))
    initialize_local(trace, state)


def _restore(trace: TracedModel, state: VariableSet, path: str, wanted: list[TracedVariable]) -> set[str]:
    """Restores `wanted`; returns the names of those that a saver of the model's own leaves out."""
    if not wanted:
        return set()
    saver = saver_of(trace)
    if saver is not None:
        return restore_through(saver, trace, state, path)
    reader = files.CheckpointReader(path)
    optional = [t.name for t in wanted if t.optional]
    values = reader.values({t.name: t.variable for t in wanted}, optional=optional)
    files.check_finite(path, values, [t.name for t in wanted if t.trainable])
    state.assign(values)
    _initialize(trace, state, [t for t in wanted if t.name not in values])
    return set()


def _initialize(trace: TracedModel, state: VariableSet, variables: list[TracedVariable]) -> None:
    initializers = [t.variable.initializer for t in variables]
    if not trace.initial.keep:
        if variables:
            trace.functions.new_function(initializers)([], state)  # a kept one would keep its large constants
        return
    names, kept = [t.name for t in variables], trace.initial.values
    if kept.keys() >= set(names):
        state.assign({name: kept[name] for name in names})
        return
    trace.functions.new_function(initializers)([], state)
    if len(variables) == len(trace.variables.model()):  # else some may depend on what others have now
        values = state.values(names)
        if sum(int(tf.size(value)) * value.dtype.size for value in values.values()) <= _KEPT_BYTES:
            kept.update(values)


def initialize_local(trace: TracedModel, state: VariableSet) -> None:
    """Sets local variables (metrics) to their start, and fills the tables once."""
    local = trace.variables.local()
    trace.captures.local.ensure(local)
    graph = trace.graph
    # Each replica has its own, which a function sets.
    alone = trace.strategy is None
    starts = trace.memo.get(("starts", graph.version), lambda: _constant_starts(graph, local)) if alone else {}
    trace.captures.local.assign(starts)
    operations = [t.variable.initializer for t in local if t.name not in starts]
    tables = [op for op in graph.get_collection(v1.GraphKeys.TABLE_INITIALIZERS) if op is not None]
    if tables:
        trace.memo.get(("tables", len(tables)), lambda: trace.functions.step_function(tables, batch=False)([], state))
    if operations:
        trace.functions.step_function(operations, batch=False)([], state)
    scaffold_local_init(trace, state)


def _constant_starts(graph: tf.Graph, variables: list[TracedVariable]) -> dict[str, Any]:
    """Initial values that are known without running anything, by name: zero, mostly. They need no function."""
    with graph.as_default():  # where a variable of the graph gives its initial value
        values = {t.name: tf.get_static_value(t.variable.initial_value) for t in variables}
    return {name: value for name, value in values.items() if value is not None}
