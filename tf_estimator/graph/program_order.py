"""Program order for the variables of Keras.

Keras 3 assigns to its variables as if the program ran line by line: a moving average, a seed, a metric, a slot of an
optimizer. In a plain graph nothing would order or even run such an assignment. Therefore every read and write of a
Keras variable gets control inputs in the order in which they were made, and the writes run with the training step.
Measured without it: Adam's results vary from run to run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..variables import TracedVariable

#: Operations that fail at the end of the input.
_INPUTS = {"IteratorGetNext", "IteratorGetNextSync"}
_READS = {"ReadVariableOp", "VarIsInitializedOp", "ResourceGather", "ResourceGatherNd", "VariableShape"}
_ASSIGNMENTS = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}
_MAY_ASSIGN = _ASSIGNMENTS | {"StatefulPartitionedCall", "While"}


def accesses(graph: tf.Graph, variables: Sequence[TracedVariable]) -> list[list[tf.Operation]]:
    """Per Keras variable, the operations that take its handle, in the order in which they were made."""
    found = []
    for traced in variables:
        if traced.keras:
            skip = {traced.variable.initializer.name}
            users = [op for op in traced.variable.handle.consumers() if op.name not in skip]
            found.append([op for op in users if op.type != "VarIsInitializedOp"])
    order = {op.name: i for i, op in enumerate(graph.get_operations())} if found else {}
    return [sorted(users, key=lambda op: order[op.name]) for users in found]


def add_control_inputs(graph_def: Any, chains: list[list[tf.Operation]]) -> None:
    """Orders the accesses of each variable: a write after all earlier accesses, a read after the last write.

    Accesses that are not in `graph_def`, which may be a part of the graph, play no role.
    """
    nodes = {node.name: node for node in graph_def.node} if chains else {}
    for chain in chains:
        last_write: str | None = None
        reads: list[str] = []
        for op in chain:
            node = nodes.get(op.name)
            if node is None:
                continue
            if op.type == "ReadVariableOp":
                before = [last_write] if last_write else []
                reads.append(op.name)
            else:
                before = reads + ([last_write] if last_write else [])
                last_write, reads = op.name, []
            present = set(node.input)
            node.input.extend(f"^{name}" for name in before if f"^{name}" not in present)


def read_first(graph_def: Any, handle: str) -> None:
    """Lets what reads the variable of `handle` do so before the one operation that writes it, unless it waits for that.

    For the global step: TensorFlow's hooks fetch it together with the training step and count on the value before it.
    A session nearly always gave them that; here the two may be as quick as each other. With several writers, whose
    order is unknown, nothing is added.
    """
    users = [node for node in graph_def.node if handle in {name.removesuffix(":0") for name in node.input}]
    writers = [node for node in users if node.op in _MAY_ASSIGN]
    readers = {node.name for node in users} - {node.name for node in writers}
    if len(writers) != 1 or not readers:
        return
    writer = writers[0]
    consumers: dict[str, list[str]] = {}
    for node in graph_def.node:
        for name in node.input:
            consumers.setdefault(_operation(name), []).append(node.name)
    after = _reachable([writer.name], consumers)
    before = [done for node in users if node.name in readers - after for done in _when_done(graph_def, node)]
    writer.input.extend(f"^{name}" for name in sorted(before) if f"^{name}" not in writer.input)


def write_after_input(graph_def: Any, handles: Collection[str], batch: Collection[str] = ()) -> None:
    """Lets what writes a variable wait for the batch, where the batch is made by the graph itself.

    A step at the end of the input fails. An update that takes nothing of the batch, such as Keras' count of rows in
    batches of a known size, would otherwise happen once more in it.

    Args:
        graph_def: changed in place.
        handles: names of the operations that make the variables' handles.
        batch: names of the operations whose outputs are the batch, as far as known; iterators are recognized.
    """
    ends = [node.name for node in graph_def.node if node.op in _INPUTS or (node.name in batch and node.op != "Const")]
    if not ends:
        return
    inputs = {node.name: [_operation(name) for name in node.input] for node in graph_def.node}
    before = _reachable(ends, inputs)
    for node in graph_def.node:
        if node.name not in before and node.op not in _READS and any(name in handles for name in inputs[node.name]):
            node.input.extend(f"^{name}" for name in ends if f"^{name}" not in node.input)


def _reachable(start: Collection[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    """Names of the nodes that can be reached over `edges`, the start included."""
    found, pending = set(start), list(start)
    while pending:
        new = [name for name in edges.get(pending.pop(), ()) if name not in found]
        found.update(new)
        pending.extend(new)
    return found


def _operation(name: str) -> str:
    """The operation that a node's input comes from."""
    return name.removeprefix("^").partition(":")[0]


def _when_done(graph_def: Any, node: Any) -> list[str]:
    """Names of the nodes to wait for until `node` has run.

    Where TensorFlow inlines a conditional or a call, an operation with a control input from it waits for its control
    outputs only, and a conditional of version 1 has none. Its values are there when it has run, so they are copied.
    """
    types = node.attr["Tout"].list.type if "Tout" in node.attr else []
    if not types:
        return [node.name]
    names = [f"{node.name}/done_{i}" for i in range(len(types))]
    for i, (name, dtype) in enumerate(zip(names, types, strict=True)):
        copy = graph_def.node.add(name=name, op="Identity", input=[f"{node.name}:{i}"], device=node.device)
        copy.attr["T"].type = dtype
    return names


def assignments(graph: tf.Graph, variables: Sequence[TracedVariable]) -> list[tf.Operation]:
    """The plain assignments to Keras variables in the graph, initializers left out."""
    made = {op.name: op for chain in accesses(graph, variables) for op in chain if op.type in _ASSIGNMENTS}
    return list(made.values())


def writes(graph: tf.Graph, variables: Sequence[TracedVariable]) -> list[tf.Operation]:
    """All operations that may write Keras variables, calls of stateful functions included."""
    kinds = _ASSIGNMENTS | {"StatefulPartitionedCall"}
    made = {op.name: op for chain in accesses(graph, variables) for op in chain if op.type in kinds}
    return list(made.values())
