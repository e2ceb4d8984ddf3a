"""A training step as operations of a graph: the batch that it takes, one step, many steps in a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..graph.subgraph import Subgraph, taken_by
from ..graph.traced_model import TracedModel
from ..graph.turned_products import turn_products
from ..inputs.source import BatchSource
from .while_loop import GraphLoop

v1 = tf.compat.v1

_INPUT, _KEPT = "engine.input", "engine.loop/kept"


class StepInput:
    """The part of a trace that a step runs, and the batches for it.

    Where a model puts scalar components of the batch side by side, and the source has them side by side, it gives the
    matrix, so that it is not taken apart and put together again.

    Args:
        trace: whose step it is.
        elements: what is fetched.
        source: gives the batches.
        fed: tensors whose values are given with each call.

    Attributes:
        subgraph: what the step runs; its feeds are what `batch` gives.
    """

    def __init__(
        self, trace: TracedModel, elements: Sequence[Any], source: BatchSource, fed: Sequence[tf.Tensor] = ()
    ) -> None:
        self.source = source
        stacks = [] if fed else trace.functions.stacks()
        found = [(stack.tensor, source.locate_stack(stack.positions)) for stack in stacks]
        given = [(tensor, location) for tensor, location in found if location is not None]
        known = {feed.name for feed in trace.feeds}
        more = [*(tensor for tensor, _ in given), *(tensor for tensor in fed if tensor.name not in known)]
        self.subgraph = trace.functions.subgraph(elements, [*trace.feeds, *more])
        self._given = [(tensor, location) for tensor, location in given if tensor.name in self.subgraph.taken]
        unused = {tensor.name for tensor, _ in given} - {tensor.name for tensor, _ in self._given}
        self.subgraph.feeds[:] = [feed for feed in self.subgraph.feeds if feed.name not in unused]
        self._locations = [location for _, location in self._given]
        turn_products(self.subgraph.definition, {t.name for t, place in self._given if source.turned(place)})
        self._fed = [tensor.name for tensor in fed]

    def block(self, steps: tf.Tensor, arguments: list[Any]) -> list[tf.Tensor]:
        """`BatchSource.block`."""
        return list(self.source.block(steps, arguments, self._locations))

    def padded_block(self, steps: tf.Tensor, arguments: list[Any]) -> list[tf.Tensor]:
        """`block` of static shape, for a compiled program."""
        return list(self.source.padded_block(steps, arguments, self._locations))

    def parts(self, index: tf.Tensor, block: list[Any]) -> list[tf.Tensor]:
        """What the source gives for the `index`-th batch of a block: a tensor for each feed that is not fed besides."""
        return self._cast(self.source.batch(index, block, self._locations))

    def next_parts(self, arguments: list[Any]) -> list[tf.Tensor]:
        """`parts` of the next batch alone."""
        return self._cast(self.source.single(arguments, self._locations))

    def _cast(self, parts: list[tf.Tensor]) -> list[tf.Tensor]:
        count = len(parts) - len(self._given)
        return [*parts[:count], *(tf.cast(m, t.dtype) for m, (t, _) in zip(parts[count:], self._given, strict=True))]

    def values(self, parts: Sequence[tf.Tensor], fed: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """A tensor for each feed: the fed one, or else the source's."""
        values = {feed.name: part for feed, part in zip(self.subgraph.feeds, parts, strict=False)}
        values |= dict(zip(self._fed, fed, strict=True))
        return [values[feed.name] for feed in self.subgraph.feeds]


def one_step(
    inputs: StepInput, trace: TracedModel, fed: Sequence[tf.Tensor], arguments: Sequence[tf.Tensor]
) -> tuple[list[tf.Tensor], list[Any]]:
    """Adds one step to the current graph.

    Args:
        inputs: the step and its batches.
        trace: whose step it is.
        fed: values of the tensors that are fed.
        arguments: of the source.

    Returns:
        The fetched tensors, and what has to be done before the step is.
    """
    parts = inputs.next_parts(list(arguments))
    first = parts if inputs.source.may_end else []
    # An update that takes nothing of the batch would otherwise happen once more at the end of the input.
    with tf.control_dependencies(first):
        handles = trace.captures.handles_for(inputs.subgraph, waiting=bool(first))
    tensors, operations = inputs.subgraph.add_to_graph(handles, inputs.values(parts, fed))
    return tensors, [*operations, *tensors, *first]


def repeated(
    inputs: StepInput,
    trace: TracedModel,
    counter: str,
    loss: bool,
    steps: Any,
    goal: Any,
    block: list[Any],
    after: Any,
    kept: Sequence[tf.Variable] = (),
) -> list[Any]:
    """Adds a loop over the step to the current graph.

    Args:
        inputs: the step and its batches.
        trace: whose step it is.
        counter: name of the variable that counts steps.
        loss: whether the first fetched tensor is a loss that ends the loop when it is not finite.
        steps: how many at most, int64.
        goal: value of the counter to stop at, int64.
        block: what the batches are made from.
        after: a `Subgraph` without feeds whose tensors are computed after the loop, or None.
        kept: a variable `[most steps, …]` for each of the first fetched tensors, whose rows take their values.

    Returns:
        Steps done, value of the counter, last loss, then the tensors of `after`.
    """
    subgraph, variable = inputs.subgraph, trace.captures.variable(counter)
    start = tf.cast(variable.read_value(), tf.int64)
    by_one = counts_by_one(trace, subgraph, counter)
    given = {f"{_INPUT}/block_{i}:0": tensor for i, tensor in enumerate(block)}
    given |= {"engine.loop/steps:0": tf.minimum(steps, goal - start) if by_one else steps}
    given |= {"engine.loop/goal:0": goal, "engine.loop/start:0": start}
    given |= {
        "engine.loop/counter:0": v1.get_default_graph().capture(variable.handle),
        **trace.captures.handles_for(subgraph),
    }
    given |= {f"{_KEPT}_{i}:0": v1.get_default_graph().capture(rows.handle) for i, rows in enumerate(kept)}
    loop = GraphLoop({name: tensor.dtype for name, tensor in given.items()})
    done = _add_step(loop, inputs, block, len(kept))
    conditions = []
    if loss:
        first = subgraph.tensors[0]
        watched = loop.carry("loss", loop.constant("no_loss", 0.0, tf.float32), tf.float32)
        loop.hand_on("loss", loop.cast("cast", first.name, first.dtype, tf.float32), tf.float32)
        conditions.append(loop.finite("finite", watched))
    if not by_one:
        counted = loop.carry("count", "engine.loop/start", tf.int64)
        read = loop.read("read", loop.enter("engine.loop/counter"), variable.dtype, done)
        loop.hand_on("count", loop.cast("cast_count", read, variable.dtype, tf.int64), tf.int64)
        conditions.append(loop.compare("less_goal", counted, loop.enter("engine.loop/goal")))
    loop.close("engine.loop/steps", conditions, done)
    made = _run(loop, inputs, given, variable, loss)
    return made if after is None else _with_values(trace, after, made)


def _add_step(loop: GraphLoop, inputs: StepInput, block: list[Any], kept: int) -> list[str]:
    """Adds input and step to the loop, which keeps so many of the fetched tensors; the operations that make a step."""
    with tf.Graph().as_default() as graph, tf.name_scope(_INPUT):
        index = v1.placeholder(tf.int64, [], name="index")
        parts = [v1.placeholder(t.dtype, t.shape, name=f"block_{i}") for i, t in enumerate(block)]
        batch = inputs.parts(index, parts)
    nodes = [node for node in graph.as_graph_def().node if node.op != "Placeholder"]
    for node in nodes:
        node.attr.pop("_class", None)  # Colocation with the placeholders.
    loop.add_nodes(nodes, {index.name: loop.index}, loop.started)
    made = sorted({t.op.name for t in batch if t.op.type != "Placeholder"})
    # An update that takes nothing of the batch would otherwise happen once more at the end of the input.
    ready = loop.wait("ready", [loop.started, *made]) if inputs.source.may_end else loop.started
    subgraph = inputs.subgraph
    replaced = {feed.name: tensor.name for feed, tensor in zip(subgraph.feeds, batch, strict=True)}
    loop.add_nodes(subgraph.definition.node, replaced, ready)
    fetched = [tensor.op.name for tensor in subgraph.tensors if tensor.name not in replaced]
    for number, tensor in enumerate(subgraph.tensors[:kept]):
        value = replaced.get(tensor.name, tensor.name)
        fetched.append(loop.store(f"keep_{number}", loop.enter(f"{_KEPT}_{number}"), value, tensor.dtype))
    return [*fetched, *(operation.name for operation in subgraph.operations), *(made if inputs.source.may_end else [])]


def _run(loop: GraphLoop, inputs: StepInput, given: dict[str, Any], variable: Any, loss: bool) -> list[Any]:
    definition = loop.definition
    definition.library.CopyFrom(inputs.subgraph.definition.library)
    definition.versions.CopyFrom(inputs.subgraph.definition.versions)
    wanted = [loop.exit_of("index"), *([loop.exit_of("loss")] if loss else [])]
    used = taken_by(definition)
    mapping = {name: tensor for name, tensor in given.items() if name in used}
    exits = tf.import_graph_def(definition, input_map=mapping, return_elements=wanted, name="")
    with tf.control_dependencies(exits):
        count = tf.cast(variable.read_value(), tf.int64)
    return [exits[0], count, exits[1] if loss else tf.constant(0.0)]


def _with_values(trace: TracedModel, after: Subgraph, made: list[Any]) -> list[Any]:
    with tf.control_dependencies(made):
        handles = trace.captures.handles_for(after, waiting=True)
    return [*made, *after.add_to_graph(handles, [])[0]]


def counts_by_one(trace: TracedModel, subgraph: Subgraph, counter: str) -> bool:
    """Whether a step raises the counter by one, whatever it computes."""
    key, definition = next(t.key for t in trace.variables.all() if t.name == counter), subgraph.definition
    constants = {node.name: node for node in definition.node if node.op == "Const"}
    handles = {key, f"{key}:0"}
    writers = [node for node in definition.node if node.op != "ReadVariableOp" and handles.intersection(node.input)]
    if len(writers) != 1 or writers[0].op != "AssignAddVariableOp":
        return False
    added = constants.get(writers[0].input[1])
    return added is not None and bool(tf.make_ndarray(added.attr["value"].tensor) == 1)
