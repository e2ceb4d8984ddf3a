"""What the fetches of a traced graph depend on: variables, the batch, values of other processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..distribution.strategy import ReplicaStrategy
from .definition import GraphDefinition
from .graph_variables import GraphVariables
from .memo import Memo
from .subgraph import ancestors

_READS = {"ReadVariableOp", "VarIsInitializedOp", "ResourceGather", "VariableShape"}


class Dependencies:
    """Questions about fetches; the answers are kept.

    Args:
        variables: those of the graph.
        definition: the graph's.
        feeds: placeholders of the batch's components.
        strategy: that of the replicas, if there are several.
    """

    def __init__(
        self,
        variables: GraphVariables,
        definition: GraphDefinition,
        feeds: Sequence[tf.Tensor],
        strategy: ReplicaStrategy | None,
    ) -> None:
        self._variables = variables
        self._definition = definition
        self._batch = {t.name for t in feeds}
        self._strategy = strategy
        self._memo = Memo()

    def writes_model(self, fetches: Sequence[Any]) -> bool:
        """Whether the fetches change a variable of the model."""

        def search() -> bool:
            handles = {t.key for t in self._variables.model()}
            needed = [self._variables.graph.get_operation_by_name(name) for name in self._needed(fetches)]
            return any(op.type not in _READS and any(t.op.name in handles for t in op.inputs) for op in needed)

        return bool(self._memo.get(("writes", tuple(f.name for f in fetches)), search))

    def needs_other_processes(self, fetches: Sequence[Any]) -> bool:
        """Whether the fetches need a value that all processes of a cluster compute together."""
        if self._strategy is None or self._strategy.replicas.workers == 1:
            return False
        marks = {mark.operation for mark in self._strategy.marks}
        return bool(self._memo.get(("reduces", tuple(f.name for f in fetches)), lambda: marks & self._needed(fetches)))

    def needs_batch(self, fetches: Sequence[Any], feeds: Sequence[tf.Tensor]) -> bool:
        """Whether the fetches depend on the batch's placeholders when `feeds` are given."""

        def search() -> bool:
            handles = {t.variable.handle.name for t in self._variables.all()}
            fed = {t.name for t in feeds}
            _, taken = ancestors(self._definition.nodes(), [f.name for f in fetches], handles | self._batch | fed)
            return bool(taken & (self._batch - fed))

        names = (tuple(f.name for f in fetches), tuple(f.name for f in feeds))
        return bool(self._memo.get(("needs batch", *names), search)) if self._batch else False

    def _needed(self, fetches: Sequence[Any]) -> set[str]:
        """Names of the operations that the fetches need."""
        return set(ancestors(self._definition.nodes(), [f.name for f in fetches], self._batch)[0])
