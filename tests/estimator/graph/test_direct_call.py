"""A direct call gives what TensorFlow's own gives, and a default graph is what `as_default` makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from tf_estimator.graph.direct_call import DefaultGraph, run_function
from tf_estimator.graph.function import optimization

v1 = tf.compat.v1


def run(concrete: Any, *arguments: Any) -> list[tf.Tensor]:
    types = [output.dtype for output in concrete.outputs]
    return run_function(concrete, [*arguments, *concrete.captured_inputs], types, optimization())


def test_outputs_and_updates_are_those_of_the_function() -> None:
    total = tf.Variable(1.0)

    def add(x: tf.Tensor, words: tf.Tensor) -> list[tf.Tensor]:
        return [total.assign_add(tf.reduce_sum(x)), x > 1, tf.strings.join([words, "!"])]

    concrete = tf.function(add, autograph=False).get_concrete_function(
        tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.string)
    )
    for expected in (4.0, 7.0):  # 1 + (1 + 2), and once more
        after, above, text = run(concrete, tf.constant([1.0, 2.0]), tf.constant("a"))
        assert (float(after), above.numpy().tolist(), text.numpy()) == (expected, [False, True], b"a!")
    assert float(total) == 7.0


def test_function_runs_at_once_inside_of_a_graph() -> None:
    concrete = tf.function(lambda x: [x * 2]).get_concrete_function(tf.TensorSpec([], tf.int32))
    three = tf.constant(3)
    with tf.Graph().as_default() as graph:
        (six,) = run(concrete, three)
    assert int(six) == 6
    assert not graph.get_operations()


def test_failures_are_those_of_tensorflow() -> None:
    taken = tf.function(lambda i: [tf.gather([1.0, 2.0], i)]).get_concrete_function(tf.TensorSpec([], tf.int32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="7"):
        run(taken, tf.constant(7))
    empty = iter(tf.data.Dataset.range(0))
    ended = tf.function(lambda: [next(empty)]).get_concrete_function()
    with pytest.raises(tf.errors.OutOfRangeError):
        run(ended)


def test_graph_is_the_default_one_inside_and_what_it_was_outside() -> None:
    graph, outer = tf.Graph(), tf.Graph()
    entered = DefaultGraph(graph)
    with outer.as_default():
        for name in ("first", "second"):
            with entered:
                assert v1.get_default_graph() is graph
                tf.constant(1, name=name)
                with outer.as_default():
                    tf.constant(1, name="within")
                tf.Variable(1.0, name=f"{name}_variable")
        assert v1.get_default_graph() is outer
    assert tf.executing_eagerly()
    assert [op.name for op in graph.get_operations() if op.type == "Const"][:1] == ["first"]
    assert {"first", "second", "second_variable"} <= {op.name for op in graph.get_operations()}
    assert {op.name for op in outer.get_operations()} == {"within", "within_1"}


def test_init_scope_leaves_it_as_it_leaves_that_of_tensorflow() -> None:
    graph = tf.Graph()
    told = []
    for scope in (graph.as_default(), DefaultGraph(graph)):
        with scope:
            assert not tf.executing_eagerly()
            with tf.init_scope():
                told.append((tf.executing_eagerly(), v1.get_default_graph() is graph))
            with tf.device("CPU:0"):
                placed = tf.constant(1)
            told.append((placed.graph is graph, placed.op.device))
    assert told[:2] == told[2:]


def test_error_inside_leaves_the_graph() -> None:
    entered = DefaultGraph(tf.Graph())
    with pytest.raises(ValueError, match="inside"), entered:
        raise ValueError("inside")
    assert tf.executing_eagerly()
    assert float(tf.constant(1.0)) == 1.0
