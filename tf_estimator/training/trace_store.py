"""Traces that the Estimators of one process share where they were made of equal values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorflow.python.framework import op_def_registry

from ..graph.traced_model import TracedModel
from .bounded_store import BoundedStore

_STATEFUL_BUT_REPEATABLE = (
    *("VarHandleOp", "VarIsInitializedOp", "ReadVariableOp", "Assign", "Resource", "HashTable", "LookupTable"),
    *("InitializeTable", "Assert", "StatefulPartitionedCall", "While", "If", "StatelessRandom"),
)
"""How the names of stateful operations begin that hold nothing but what a run gives them: values of its variables,
and tables, whose content is the graph's."""


class TraceStore:
    """Traces by what they were made of. The one that was taken longest ago goes first.

    One Estimator at a time may run a trace: what lives for one run only, metrics for example, is there once.

    Args:
        most: how many traces are kept.
        most_bytes: what their graphs may take, serialized; a trace with a larger one is not kept.
        most_functions: a trace of which more was made, for ever other inputs, is not kept on.

    Attributes:
        exports: what `export.serving_graph` keeps of exports, by what they were made of.
    """

    def __init__(self, most: int = 32, most_bytes: int = 1 << 23, most_functions: int = 64) -> None:
        self._most_functions = most_functions
        self._traces: BoundedStore[TracedModel] = BoundedStore(most, most_bytes)
        self.exports: BoundedStore[Any] = BoundedStore(most // 3, most_bytes)  # of an Estimator with a trace a mode

    def __len__(self) -> int:
        return len(self._traces)

    def get(self, key: Any) -> TracedModel | None:
        """The trace that was kept under a key, if it still is."""
        trace = self._traces.get(key)
        if trace is not None and len(trace.memo) > self._most_functions:
            self._traces.drop(key)
            return None
        return trace

    def put(self, key: Any, trace: TracedModel) -> None:
        """Keeps a trace, unless it can't serve again: it is too large, or draws random numbers while it runs, which
        would go on where the run before has stopped."""
        graph_def = trace.graph.as_graph_def()
        size = graph_def.ByteSize()
        if size > self._traces.most_bytes or not _is_repeatable(trace, graph_def):
            return
        trace.initial.keep = True
        self._traces.put(key, trace, size)


def _is_repeatable(trace: TracedModel, graph_def: Any) -> bool:
    """Whether everything that holds a state outside of variables is for initial values only."""
    if any(True for function in graph_def.library.function for _ in _stateful(function.node_def)):
        return False
    graph, initializers = trace.graph, {t.variable.initializer.name for t in trace.variables.all()}
    pending = [graph.get_operation_by_name(node.name) for node in _stateful(graph_def.node)]
    seen: set[str] = set()
    while pending:
        operation = pending.pop()
        if operation.name in initializers or operation.name in seen:
            continue
        seen.add(operation.name)
        users = [user for tensor in operation.outputs for user in tensor.consumers()]
        if not users or operation._control_outputs:
            return False
        pending += users
    return True


def _stateful(nodes: Iterable[Any]) -> Iterable[Any]:
    for node in nodes:
        known = op_def_registry.get(node.op)
        if (known is None or known.is_stateful) and not node.op.startswith(_STATEFUL_BUT_REPEATABLE):
            yield node
