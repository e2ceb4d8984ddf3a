"""Functions of fetch sets, built from a traced graph.

A function holds the operations that its fetches need, and captures variable handles. Functions are cached by fetch set,
because making one costs tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..distribution.strategy import ReplicaStrategy
from .captures import Captures
from .definition import GraphDefinition
from .function import Function, build_function
from .graph_variables import GraphVariables
from .memo import Memo
from .subgraph import Stack, Subgraph, ancestors, stacks


class FunctionBuilder:
    """Builds the functions of one traced graph.

    Args:
        variables: those of the graph.
        definition: the graph's.
        captures: the variables that functions capture.
        feeds: placeholders of the batch's components.
        strategy: that of the replicas, if there are several.
        memo: keeps the functions.
    """

    def __init__(
        self,
        variables: GraphVariables,
        definition: GraphDefinition,
        captures: Captures,
        feeds: Sequence[tf.Tensor],
        strategy: ReplicaStrategy | None,
        memo: Memo,
    ) -> None:
        self._variables = variables
        self._definition = definition
        self._captures = captures
        self._feeds = list(feeds)
        self._strategy = strategy
        self._memo = memo

    def function(self, fetches: Sequence[Any], feeds: Sequence[tf.Tensor] | None = None) -> Function:
        """The function of a fetch set, for one replica.

        Args:
            fetches: tensors and operations of the graph; the function returns the tensors, in order.
            feeds: tensors that become arguments; the batch's placeholders if None.
        """
        feeds = self._feeds if feeds is None else list(feeds)
        key = ("function", tuple(f.name for f in fetches), tuple(f.name for f in feeds))
        return self._memo.get(key, lambda: self._build(fetches, feeds))  # type: ignore[no-any-return]

    def new_function(self, fetches: Sequence[Any]) -> Function:
        """A function without arguments that is not kept: its random operations begin with their first numbers."""
        return self._build(fetches, [])

    def step_function(self, fetches: Sequence[Any], fed: Sequence[tf.Tensor] = (), *, batch: bool = True) -> Function:
        """The function of a fetch set, done by all replicas of this process; returns the first one's tensors.

        Args:
            fetches: as in `function`.
            fed: tensors that become arguments after the batches, the same for all replicas.
            batch: whether the batches' components come first, replica by replica.
        """
        feeds = self._feeds if batch else []
        if self._strategy is None:
            return self.function(fetches, [*feeds, *fed])
        key = ("step function", batch, tuple(f.name for f in fetches), tuple(f.name for f in fed))
        return self._memo.get(key, lambda: self._build(fetches, feeds, fed, self._strategy))  # type: ignore[no-any-return]

    def subgraph(
        self, fetches: Sequence[Any], feeds: Sequence[tf.Tensor], devices: Sequence[str | None] = ()
    ) -> Subgraph:
        """What a fetch set needs when `feeds` are given; its variables are there afterwards, also on `devices`."""
        nodes, iterators = self._definition.nodes(), self._definition.one_shot_iterators()
        handles = {t.variable.handle.name: t for t in self._variables.all()}
        roots = [f.name for f in fetches]
        iterators -= set(roots)
        names, taken = ancestors(nodes, roots, {*handles, *iterators, *(t.name for t in feeds)})
        shared = {name: self._one_shot_iterator(name) for name in iterators & taken}
        variables = [traced for name, traced in handles.items() if name in taken]
        self._captures.prepare(variables, devices)
        return Subgraph(self._definition.part(names), list(fetches), list(feeds), taken, variables, shared)

    def stacks(self) -> list[Stack]:
        """The tensors that hold components of the batch side by side."""
        return stacks(self._variables.graph, self._definition.nodes(), self._feeds)

    def _build(
        self,
        fetches: Sequence[Any],
        feeds: Sequence[tf.Tensor],
        fed: Sequence[tf.Tensor] = (),
        strategy: ReplicaStrategy | None = None,
    ) -> Function:
        devices = [None] if strategy is None else self._captures.devices
        subgraph = self.subgraph(fetches, [*feeds, *fed], devices)
        return build_function(subgraph, len(feeds), devices, self._captures, strategy)

    def _one_shot_iterator(self, name: str) -> tf.Tensor:
        """Handle of the one iterator that all functions take, where each would have its own."""

        def make() -> tf.Tensor:
            handle = self._variables.graph.get_tensor_by_name(name)
            return self.function([handle], [])([], self._captures.reference)[0]

        return self._memo.get(("iterator", name), make)
