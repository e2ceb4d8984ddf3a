"""Dependencies of the fetches of a traced graph: variables, the batch, values of other processes."""

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
        return bool({t.key for t in self._variables.model()} & self.written(fetches))

    def written(self, fetches: Sequence[Any], fed: Sequence[tf.Tensor] = ()) -> set[str]:
        """Keys of the variables that the fetches may change when `fed` tensors are given."""

        def search() -> set[str]:
            handles = {t.key for t in self._variables.all()}
            needed = [self._variables.graph.get_operation_by_name(name) for name in self._needed(fetches, fed)]
            return handles & {t.op.name for op in needed if op.type not in _READS for t in op.inputs}

        names = (tuple(f.name for f in fetches), tuple(f.name for f in fed))
        return set(self._memo.get(("writes", self._variables.graph.version, *names), search))

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

    def _needed(self, fetches: Sequence[Any], fed: Sequence[tf.Tensor] = ()) -> set[str]:
        """Names of the operations that the fetches need."""
        known = self._batch | {t.name for t in fed}
        return set(ancestors(self._definition.nodes(), [f.name for f in fetches], known)[0])
