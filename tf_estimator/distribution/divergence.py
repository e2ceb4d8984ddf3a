"""Divergence of replicas: updates that would make their copies of a variable differ, found before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..variables import TracedVariable
from .strategy import MEAN, ReplicaStrategy

v1 = tf.compat.v1

#: Beginnings of the names of operations whose outputs differ between replicas, besides the batch.
_PRIVATE = ("Random", "StatefulRandom", "StatefulUniform", "StatefulStandardNormal", "StatefulTruncatedNormal",
            "TruncatedNormal", "ParameterizedTruncatedNormal", "Multinomial", "StatefulBinomial", "PyFunc",
            "EagerPyFunc", "IteratorGetNext")  # fmt: skip
_WRITES = ("Assign", "ResourceApply", "ResourceSparseApply", "ResourceScatter", "ResourceStridedSliceAssign")
_ADDITIONS = {"AssignAddVariableOp", "AssignSubVariableOp", "ResourceScatterAdd", "ResourceScatterSub"}


def synchronized(
    strategy: ReplicaStrategy, batch: Sequence[tf.Tensor], traced: Sequence[TracedVariable], ops: list[Any]
) -> list[Any]:
    """The training step's operations, with those added that keep all copies of each variable equal.

    A variable that takes in something of the replica's own batch, such as a moving average, is averaged over replicas
    after each step if it says so (`aggregation=MEAN`, or `synchronization=ON_READ`) or belongs to Keras.

    Args:
        strategy: the trace's.
        batch: the placeholders of the batch.
        traced: the model's variables.
        ops: what a step runs.

    Raises:
        ValueError: a variable would differ from replica to replica.
    """
    graph = strategy.graph
    found = diverging(graph, [t.name for t in batch], strategy, traced, ops)
    refused = [t.name for t in found if not _can_be_averaged(t)]
    if refused:
        raise ValueError(
            f"With {strategy.replicas.total} replicas, the training step gives the variables {refused} values that "
            "depend on each replica's own batch. Change them through an optimizer, reduce the value with "
            "tf.distribute.get_replica_context().all_reduce(...), or make them with "
            "aggregation=tf.VariableAggregation.MEAN, so that they are averaged after each step."
        )
    if not found:
        return ops
    with graph.control_dependencies(ops):
        averages = [strategy.reduced(t.variable.read_value(), MEAN) for t in found]
        updates = [t.variable.assign(a, read_value=False) for t, a in zip(found, averages, strict=True)]
    return [*ops, *updates]


def check_metrics(strategy: ReplicaStrategy, traced: Sequence[TracedVariable]) -> None:
    """Checks that the replicas' copies of metrics can be added up.

    Args:
        strategy: the trace's.
        traced: the variables that live for one evaluation.

    Raises:
        ValueError: a variable is not made for sums (`aggregation=SUM`), and something else than a sum goes into it.
    """
    others = []
    for t in traced:
        updates = {op.type for op in t.variable.handle.consumers() if op.name != t.variable.initializer.name}
        sums = all(kind in _ADDITIONS or not kind.startswith(_WRITES) for kind in updates)
        if not (sums or t.variable.aggregation == tf.VariableAggregation.SUM):
            others.append(t.name)
    if others and strategy.replicas.total > 1:
        raise ValueError(
            f"The variables {others} of metrics can't be combined over {strategy.replicas.total} replicas, because "
            "they are not made for sums. Make them with aggregation=tf.VariableAggregation.SUM if they are sums, or "
            "evaluate on one device: leave out RunConfig.eval_distribute."
        )


def _can_be_averaged(traced: TracedVariable) -> bool:
    variable = traced.variable
    if not variable.dtype.is_floating or traced.trainable:
        return False
    if variable.aggregation == tf.VariableAggregation.MEAN:
        return True
    return bool(traced.keras and variable.aggregation == tf.VariableAggregation.NONE)


def diverging(
    graph: tf.Graph,
    batch: Sequence[str],
    strategy: ReplicaStrategy,
    traced: Sequence[TracedVariable],
    ops: Sequence[Any],
) -> list[TracedVariable]:
    """Those variables that `ops` write values to that follow from the batch and are not reduced over replicas."""
    needed = _ancestors(ops)
    marks = {mark.operation for mark in strategy.marks}
    private = {*(name.partition(":")[0] for name in batch), strategy.replica_id.partition(":")[0]}
    handles = {t.key: t for t in traced}
    writers = _writing_functions(graph)
    own: set[str] = set()  # names of tensors
    found: dict[str, TracedVariable] = {}
    for op in graph.get_operations():
        if op.name not in needed or op.name in marks:
            continue
        taken = [t.name in own for t in op.inputs]
        if op.type == "IdentityN":
            # A custom gradient passes reduced values and those that they were made from through one operation.
            own.update(out.name for out, tainted in zip(op.outputs, taken, strict=True) if tainted)
            continue
        if not (any(taken) or op.name in private or op.type.startswith(_PRIVATE)):
            continue
        own.update(out.name for out in op.outputs)
        if op.type.startswith(_WRITES) or writers.intersection(_called(op.node_def)):
            found.update({t.op.name: handles[t.op.name] for t in op.inputs if t.op.name in handles})
    return list(found.values())


def _ancestors(ops: Sequence[Any]) -> set[str]:
    found: set[str] = set()
    pending = [item.op if isinstance(item, tf.Tensor) else item for item in ops]
    while pending:
        op = pending.pop()
        if op.name not in found:
            found.add(op.name)
            pending += [t.op for t in op.inputs] + list(op.control_inputs)
    return found


def _writing_functions(graph: tf.Graph) -> set[str]:
    """Names of the graph's functions that may write a variable, or call one that may."""
    library = {f.signature.name: f.node_def for f in graph.as_graph_def().library.function}
    writers = {name for name, nodes in library.items() if any(node.op.startswith(_WRITES) for node in nodes)}
    while True:
        more = {n for n, nodes in library.items() if any(writers.intersection(_called(node)) for node in nodes)}
        if more <= writers:
            return writers
        writers |= more


def _called(node: Any) -> set[str]:
    names = {value.func.name for value in node.attr.values() if value.HasField("func")}
    return names | {f.name for value in node.attr.values() for f in value.list.func}
