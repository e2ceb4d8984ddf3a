"""One graph of many copies: what all replicas of this process do in a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .replicas import Replicas
from .strategy import MEAN, ROWS, Mark

v1 = tf.compat.v1

#: Number of the group of processes among TensorFlow's collective operations; strategies count theirs up from 1.
GROUP = 71_000

#: Collective numbers reserved per mark: rows are exchanged under one number per power of two.
NUMBERS_PER_MARK = 64


def prefix(replica: int) -> str:
    """What stands before the names of a replica's copy; the first one's keep theirs."""
    return f"replica_{replica}/" if replica else ""


def replicate(part: Any, replicas: Replicas, marks: Sequence[Mark]) -> Any:
    """The graph definition with a copy of `part` for each device of this process, its marked values reduced.

    Args:
        part: a graph definition of one replica. Inputs that it lacks get the copy's prefix too.
        replicas: the run's.
        marks: those of the whole trace.
    """
    whole = v1.GraphDef(versions=part.versions, library=part.library)
    marked = {mark.operation for mark in marks}
    for index, device in enumerate(replicas.devices):
        for node in part.node:
            copy = whole.node.add()
            copy.CopyFrom(node)
            copy.name = prefix(index) + node.name
            copy.device = node.device or device
            copy.ClearField("input")
            copy.input.extend(_renamed(name, prefix(index)) for name in node.input)
            if index and "shared_name" in node.attr and node.attr["shared_name"].s:
                copy.attr["shared_name"].s = node.attr["shared_name"].s + f"/replica_{index}".encode()
            if node.name in marked:
                copy.input[0] = f"{node.name}/over_replicas"
    present = {node.name: node for node in part.node}
    before: str | None = None
    for mark in marks:
        node = present.get(mark.operation)
        if node is None:
            continue
        sources = [_renamed(node.input[0], prefix(index)) for index in range(len(replicas.devices))]
        nodes = _reduction(node, sources, mark, replicas)
        for made in nodes:
            if before is not None and made.op.startswith("Collective"):
                # One after the other, in the same order everywhere: many at once can wait for each other for ever.
                made.input.append(f"^{before}")
        whole.node.extend(nodes)
        before = f"{node.name}/over_replicas"
    return whole


def _renamed(name: str, before: str) -> str:
    return f"^{before}{name[1:]}" if name.startswith("^") else before + name


def _reduction(node: Any, sources: Sequence[str], mark: Mark, replicas: Replicas) -> list[Any]:
    """The nodes of a reduction; the one called `<node>/over_replicas` is its result."""
    dtype, shape = tf.as_dtype(node.attr["dtype"].type), tf.TensorShape(node.attr["shape"].shape)
    graph = tf.Graph()
    with graph.as_default(), graph.device(replicas.devices[0]):
        values = [v1.placeholder(dtype, shape, name=f"source_{index}") for index in range(len(sources))]
        with v1.name_scope(f"{node.name}/making/"):
            made = _rows(values, mark, replicas) if mark.kind == ROWS else _elements(values, mark, replicas)
        tf.identity(made, name=f"{node.name}/over_replicas")
    named = {value.op.name: source for value, source in zip(values, sources, strict=True)}
    nodes = [made for made in graph.as_graph_def().node if made.name not in named]
    for made in nodes:
        renamed = [named.get(name, name) for name in made.input]
        made.ClearField("input")
        made.input.extend(renamed)
    return nodes


def _elements(values: Sequence[tf.Tensor], mark: Mark, replicas: Replicas) -> tf.Tensor:
    total = tf.add_n(list(values))
    if replicas.workers > 1:
        total = collective_sum(total, replicas, mark.number * NUMBERS_PER_MARK)
    return total / tf.cast(replicas.total, total.dtype) if mark.kind == MEAN else total


def _rows(values: Sequence[tf.Tensor], mark: Mark, replicas: Replicas) -> tf.Tensor:
    rows = tf.concat(list(values), axis=0)
    return rows if replicas.workers == 1 else _gathered_rows(rows, replicas, mark.number * NUMBERS_PER_MARK)


def collective_sum(value: tf.Tensor, replicas: Replicas, number: Any, merge: str = "Add") -> tf.Tensor:
    """The sum (or another merge) of the workers' values, all of one shape under one number."""
    return tf.raw_ops.CollectiveReduceV2(
        input=value,
        group_size=replicas.workers,
        group_key=GROUP,
        instance_key=number,
        ordering_token=[],
        merge_op=merge,
        final_op="Id",
    )


def _gathered_rows(rows: tf.Tensor, replicas: Replicas, number: int) -> tf.Tensor:
    """The rows of all workers, as many as each has."""
    own = tf.shape(rows)[0]
    sizes = tf.one_hot(replicas.worker, replicas.workers, own, 0, dtype=tf.int32)
    sizes = collective_sum(sizes, replicas, number)
    bits, width = powers_of_two(tf.reduce_max(sizes))
    padding = [[0, width - own], *[[0, 0]] * (rows.shape.rank - 1)]
    gathered = tf.raw_ops.CollectiveGatherV2(
        input=tf.pad(rows, padding),
        group_size=replicas.workers,
        group_key=GROUP,
        instance_key=number + 1 + bits,
        ordering_token=[],
    )
    return tf.boolean_mask(gathered, tf.reshape(tf.sequence_mask(sizes, width), [-1]))


def powers_of_two(size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The exponent and the smallest power of two that is not below `size`, int32."""
    bits = tf.reduce_sum(tf.cast(size > 2 ** tf.range(31), tf.int32))
    return bits, tf.bitwise.left_shift(1, bits)
