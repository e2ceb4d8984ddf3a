"""Functions that take their batches themselves: one step, or a loop over steps, per call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..graph.captures import Captures
from ..graph.function import CapturedFunction
from ..inputs.source import BatchSource
from ..variables import VariableSet


class StepFunction:
    """One step with the values of a fetch set, input included.

    Args:
        captures: the variables that it captured.
        concrete: takes what hooks feed, then the arguments of a source.
    """

    def __init__(self, captures: Captures, concrete: Any) -> None:
        self._function = CapturedFunction(captures, concrete)

    def __call__(self, source: BatchSource, state: VariableSet, fed: Sequence[tf.Tensor] = ()) -> list[tf.Tensor]:
        """Runs one step.

        Raises:
            OutOfRangeError: the input has ended.
        """
        return self._function([*fed, *source.arguments()], state)


class LoopFunction:
    """Up to k steps in one call, input included.

    Args:
        captures: the variables that it captured.
        concrete: takes the number of steps, the counter's goal and the arguments of a source; returns the steps done,
            the counter, the last loss, and any `values`.

    Attributes:
        values: what the last call returned behind these.
    """

    def __init__(self, captures: Captures, concrete: Any) -> None:
        self.values: list[tf.Tensor] = []
        self._function = CapturedFunction(captures, concrete)

    def __call__(self, steps: int, goal: int, source: BatchSource, state: VariableSet) -> tuple[int, int, float]:
        """Runs at most `steps` steps.

        Returns:
            Steps done, value of the counter, last loss.

        Raises:
            OutOfRangeError: the input has ended; the counter holds the number of steps.
        """
        arguments = [tf.constant(steps, tf.int64), tf.constant(goal, tf.int64), *source.arguments()]
        done, count, last, *self.values = self._function(arguments, state)
        return int(done.numpy()), int(count.numpy()), float(last.numpy())


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
