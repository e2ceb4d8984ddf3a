"""What reads the global step beside the training step reads the value before it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tf_estimator.graph.program_order import read_first

v1 = tf.compat.v1


def inputs(graph: tf.Graph, step: Any, name: str) -> set[str]:
    """The inputs of an operation in the graph without the variable's initializer, as a training step has it."""
    definition: Any = graph.as_graph_def()
    nodes = [node for node in definition.node if node.name != step.initializer.name]
    definition = v1.GraphDef(node=nodes)
    read_first(definition, step.handle.op.name)
    return {node.name: set(node.input) for node in definition.node}[name]


def test_a_read_comes_before_the_write_unless_it_waits_for_it() -> None:
    with tf.Graph().as_default() as graph:
        step = v1.train.create_global_step()
        before = step.read_value()
        write = step.assign_add(1, read_value=False)
        beside = step.read_value()
        with tf.control_dependencies([write]):
            after = step.read_value()
    found = inputs(graph, step, write.name)
    names = [
        next(i.op.name for i in read.op.inputs) if read.op.type == "Identity" else read.op.name
        for read in (before, beside, after)
    ]
    assert {f"^{names[0]}", f"^{names[1]}"} <= found
    assert f"^{names[2]}" not in found


def test_two_writes_are_left_as_they_are() -> None:
    with tf.Graph().as_default() as graph:
        step = v1.train.create_global_step()
        step.read_value()
        first = step.assign_add(1, read_value=False)
        step.assign_add(1, read_value=False)
    assert not {name for name in inputs(graph, step, first.name) if name.startswith("^")}


def test_the_write_waits_for_the_value_of_a_conditional_read() -> None:
    """TensorFlow's hooks read the step in a conditional, whose control output does not wait for the read."""
    with tf.Graph().as_default() as graph:
        step = v1.train.create_global_step()
        read = v1.cond(v1.is_variable_initialized(step), step.read_value, lambda: step.initial_value)
        write = step.assign_add(1, read_value=False)
    definition: Any = graph.as_graph_def()
    nodes = [node for node in definition.node if node.name != step.initializer.name]
    definition = v1.GraphDef(node=nodes, versions=definition.versions, library=definition.library)
    read_first(definition, step.handle.op.name)
    found = {node.name: set(node.input) for node in definition.node}
    conditional = next(node.name for node in nodes if node.op in {"If", "StatelessIf"})
    waited = [name for name in found[write.name] if name.startswith("^")]
    assert any(found[name[1:]] == {f"{conditional}:0"} for name in waited)
    with tf.Graph().as_default():
        assert len(tf.import_graph_def(definition, return_elements=[write.name, read.name], name="")) == 2
