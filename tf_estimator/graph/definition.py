"""The definition of a traced graph, prepared so that parts of it can run as functions."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import tensorflow as tf

from . import program_order
from .graph_variables import GraphVariables

v1 = tf.compat.v1

_ONE_SHOT = "OneShotIterator"


class GraphDefinition:
    """The nodes of a graph. Hooks may add operations to it at any time: each method reads the graph again if they did.

    Args:
        variables: those of the graph.
        batch: names of the operations that make the batch, where the graph itself does.
    """

    def __init__(self, variables: GraphVariables, batch: Collection[str] = ()) -> None:
        self._graph = variables.graph
        self._variables = variables
        self._batch = frozenset(batch)
        self._name = f"trace-{uuid.uuid4().hex}"
        self._nodes: dict[str, Any] = {}
        self._chains: list[list[tf.Operation]] = []
        self._library: Any = None
        self._version = -1

    def nodes(self) -> Mapping[str, Any]:
        """All nodes by name."""
        if self._version != self._graph.version:
            self._read()
        return self._nodes

    def one_shot_iterators(self) -> set[str]:
        """Names of the tensors that are handles of one-shot iterators."""
        return {f"{node.name}:0" for node in self.nodes().values() if node.op == _ONE_SHOT}

    def part(self, names: Iterable[str]) -> Any:
        """A graph definition of some nodes; those that use variables do so in the promised order."""
        nodes = self.nodes()
        part = v1.GraphDef(versions=self._library[0], library=self._library[1])
        part.node.extend(nodes[name] for name in names)
        program_order.add_control_inputs(part, self._chains)
        for step in self._graph.get_collection(v1.GraphKeys.GLOBAL_STEP):
            program_order.read_first(part, step.handle.op.name)
        program_order.write_after_input(part, {t.key for t in self._variables.all()}, self._batch)
        return part

    def _read(self) -> None:
        variables = self._variables.all()
        graph_def = self._graph.as_graph_def()
        self._chains = program_order.accesses(self._graph, variables)
        placeholders = {f"^{node.name}" for node in graph_def.node if node.op == "Placeholder"}
        for node in graph_def.node:
            if placeholders.intersection(node.input):
                # Waiting for a placeholder means nothing, and one that is cut out for its feed can't be waited for.
                inputs = [name for name in node.input if name not in placeholders]
                node.ClearField("input")
                node.input.extend(inputs)
            node.attr.pop("_class", None)  # Colocation with nodes that may be cut away; handles know their device.
            if "shared_name" in node.attr and not node.attr["shared_name"].s and node.op != _ONE_SHOT:
                # Functions cut from one graph share its iterators, queues and tables, as runs of a session do.
                node.attr["shared_name"].s = f"{self._name}/{node.name}".encode()
        self._nodes = {node.name: node for node in graph_def.node}
        self._library = (graph_def.versions, graph_def.library)
        self._version = self._graph.version
