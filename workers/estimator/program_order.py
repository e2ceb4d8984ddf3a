"""Program order for the variables of Keras.

Keras 3 assigns to its variables as if the program ran line by line: a moving average, a seed, a metric, a slot of an
optimizer. In a plain graph nothing would order or even run such an assignment. So the engine gives every read and write
of a Keras variable control inputs in the order in which they were made, and runs the writes with the training step.
Measured without it: Adam's results vary from run to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from workers.estimator.variables import TracedVariable

_ASSIGNMENTS = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}


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


def assignments(graph: tf.Graph, variables: Sequence[TracedVariable]) -> list[tf.Operation]:
    """The plain assignments to Keras variables in the graph, initializers left out."""
    made = {op.name: op for chain in accesses(graph, variables) for op in chain if op.type in _ASSIGNMENTS}
    return list(made.values())


def writes(graph: tf.Graph, variables: Sequence[TracedVariable]) -> list[tf.Operation]:
    """All operations that may write Keras variables, calls of stateful functions included."""
    kinds = _ASSIGNMENTS | {"StatefulPartitionedCall"}
    made = {op.name: op for chain in accesses(graph, variables) for op in chain if op.type in kinds}
    return list(made.values())
