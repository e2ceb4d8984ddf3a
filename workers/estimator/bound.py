"""Calling a function on a set of variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from workers.estimator.variables import VariableSet

if TYPE_CHECKING:
    from workers.estimator.graph import Trace


class Bound:
    """A function whose captured handles are put in from a set of variables at each call.

    Args:
        trace: whose variables it captured.
        concrete: the function.
    """

    def __init__(self, trace: Trace, concrete: Any) -> None:
        places = trace.reference.handles()
        self.concrete = concrete
        self.output_types = [t.dtype for t in concrete.outputs]
        self._captures = [(c, places.get(id(c))) for c in concrete.captured_inputs]

    def bind(self, state: VariableSet) -> list[tf.Tensor]:
        """The arguments that follow those of a call: handles of `state` for model variables."""
        return [capture if place is None else state.on(*place).handle for capture, place in self._captures]

    def __call__(self, arguments: Sequence[tf.Tensor], state: VariableSet) -> list[tf.Tensor]:
        """Runs it; returns its outputs."""
        return call(self, [*arguments, *self.bind(state)])


def call(function: Bound, arguments: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Runs a function on all of its arguments, or adds its call to the graph that is being made."""
    return list(
        tf.raw_ops.StatefulPartitionedCall(args=list(arguments), Tout=function.output_types, f=function.concrete)
    )


def while_counting(count: tf.Variable, steps: tf.Tensor, goal: tf.Tensor, loss: bool, step: Any) -> list[tf.Tensor]:
    """Adds a `tf.while_loop` over a step to the current graph.

    Args:
        count: the variable that counts steps.
        steps: how many at most, int64.
        goal: value of the counter to stop at, int64.
        loss: whether the step's first tensor is a loss that ends the loop when it is not finite.
        step: adds the step of an index to the graph; returns its tensors.

    Returns:
        Steps done, value of the counter, last loss.
    """

    def more(i: tf.Tensor, done: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        return (i < steps) & (done < goal) & tf.math.is_finite(last)

    def once(i: tf.Tensor, done: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, ...]:
        outputs = step(i)
        with tf.control_dependencies(outputs):
            done = tf.cast(count.read_value(), tf.int64)
            return i + 1, done, tf.reshape(tf.cast(outputs[0], tf.float32), []) if loss else last

    start = (tf.constant(0, tf.int64), tf.cast(count.read_value(), tf.int64), tf.constant(0.0))
    return list(tf.while_loop(more, once, start, parallel_iterations=1))
