"""Subgraphs: the part of a graph that a fetch set needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ..variables import TracedVariable

v1 = tf.compat.v1


@dataclass(frozen=True)
class Subgraph:
    """A part of a graph.

    Attributes:
        definition: its nodes; they take tensors that are not among them.
        fetches: the tensors and operations that are fetched.
        feeds: tensors that are given from outside.
        taken: names of the handles and fed tensors that the nodes take.
        variables: the variables whose handles they take.
        shared: further tensors from outside, name to eager tensor.
    """

    definition: Any
    fetches: list[Any]
    feeds: list[tf.Tensor]
    taken: set[str]
    variables: list[TracedVariable]
    shared: dict[str, tf.Tensor]

    @property
    def tensors(self) -> list[tf.Tensor]:
        return [fetch for fetch in self.fetches if isinstance(fetch, tf.Tensor)]

    @property
    def operations(self) -> list[tf.Operation]:
        return [fetch for fetch in self.fetches if not isinstance(fetch, tf.Tensor)]

    def add_to_graph(self, inputs: Mapping[str, tf.Tensor], fed: Sequence[tf.Tensor]) -> tuple[list[Any], list[Any]]:
        """Adds the part to the current graph.

        Args:
            inputs: handles and shared tensors by name.
            fed: a tensor for each of `feeds`.

        Returns:
            The fetched tensors and operations there.
        """
        given = {feed.name: tensor for feed, tensor in zip(self.feeds, fed, strict=True)}
        used = taken_by(self.definition)
        mapping = {name: tensor for name, tensor in {**inputs, **given}.items() if name in used}
        wanted = [f.name for f in [*self.tensors, *self.operations] if f.name not in given]
        found = tf.import_graph_def(self.definition, input_map=mapping, return_elements=wanted, name="")
        made = {**dict(zip(wanted, found, strict=True)), **given}
        return [made[t.name] for t in self.tensors], [made[o.name] for o in self.operations]


@dataclass(frozen=True)
class Stack:
    """A tensor of a trace that holds scalar components of the batch side by side, cast to its dtype.

    Attributes:
        tensor: `[batch, n]`.
        positions: of the n components in the flattened batch.
    """

    tensor: tf.Tensor
    positions: tuple[int, ...]


def stacks(graph: tf.Graph, nodes: Mapping[str, Any], feeds: Sequence[tf.Tensor]) -> list[Stack]:
    """The stacks of components in a graph.

    Args:
        graph: the graph.
        nodes: its nodes by name.
        feeds: the placeholders of the batch's components.
    """
    position = {feed.op.name: i for i, feed in enumerate(feeds) if feed.shape.rank == 1}
    cast = {n.name: n.input[0] for n in nodes.values() if n.op == "Cast" and n.input[0] in position}
    found = []
    for node in nodes.values():
        if node.op != "Pack" or node.attr["axis"].i != 1 or len(node.input) < 2:
            continue
        if all(name in position for name in node.input) or all(name in cast for name in node.input):
            positions = tuple(position[cast.get(name, name)] for name in node.input)
            found.append(Stack(graph.get_tensor_by_name(f"{node.name}:0"), positions))
    return found


def taken_by(definition: Any) -> set[str]:
    """Names of the tensors that the nodes of a graph definition take."""
    return {name if ":" in name else f"{name}:0" for node in definition.node for name in node.input}


def ancestors(nodes: Mapping[str, Any], roots: Iterable[str], fed: set[str]) -> tuple[dict[str, None], set[str]]:
    """Names of the nodes that `roots` (operations and tensors by name) need, and the fed tensors that they take.

    Raises:
        InvalidArgumentError: a placeholder that is not fed is needed.
    """
    wanted: dict[str, None] = {}
    taken: set[str] = set()
    pending = [root if ":" in root else f"^{root}" for root in roots]
    while pending:
        source, _, index = pending.pop().partition(":")
        if f"{source}:{index or 0}" in fed:
            taken.add(f"{source}:{index or 0}")
            continue
        name = source.removeprefix("^")
        if name in wanted:
            continue
        wanted[name] = None
        node = nodes[name]
        if node.op == "Placeholder" and f"{name}:0" in fed:
            continue  # Only the order of things hangs on it, not its value.
        if node.op == "Placeholder":
            raise tf.errors.InvalidArgumentError(
                None, None, f"You must feed a value for placeholder tensor {name!r}: give it in the feed_dict."
            )
        pending.extend(node.input)
    return wanted, taken
