"""Calling a function on a set of variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from ..variables import VariableSet

if TYPE_CHECKING:
    from ..inputs.source import Source
    from .trace import Trace


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
        self.config = optimization()
        self._captures = [(c, places.get(id(c))) for c in concrete.captured_inputs]

    def bind(self, state: VariableSet) -> list[tf.Tensor]:
        """The arguments that follow those of a call: handles of `state` for model variables."""
        return [capture if place is None else state.on(*place).handle for capture, place in self._captures]

    def __call__(self, arguments: Sequence[tf.Tensor], state: VariableSet) -> list[tf.Tensor]:
        """Runs it; returns its outputs."""
        return call(self, [*arguments, *self.bind(state)])


class BoundStep:
    """One step with the values of a fetch set, input included.

    Args:
        trace: whose step it is.
        concrete: takes what hooks feed, then the arguments of a source.
    """

    def __init__(self, trace: Trace, concrete: Any) -> None:
        self._bound = Bound(trace, concrete)

    def __call__(self, source: Source, state: VariableSet, fed: Sequence[tf.Tensor] = ()) -> list[tf.Tensor]:
        """Runs one step.

        Raises:
            OutOfRangeError: the input has ended.
        """
        return self._bound([*fed, *source.arguments()], state)


class BoundLoop:
    """Up to k steps in one call, input included.

    Args:
        trace: whose steps they are.
        concrete: takes the number of steps, the counter's goal and the arguments of a source; returns the steps done,
            the counter, the last loss, and any `values`.

    Attributes:
        values: what the last call returned behind these.
    """

    def __init__(self, trace: Trace, concrete: Any) -> None:
        self.values: list[tf.Tensor] = []
        self._bound = Bound(trace, concrete)

    def __call__(self, steps: int, goal: int, source: Source, state: VariableSet) -> tuple[int, int, float]:
        """Runs at most `steps` steps.

        Returns:
            Steps done, value of the counter, last loss.

        Raises:
            OutOfRangeError: the input has ended; the counter tells after how many steps.
        """
        arguments = [tf.constant(steps, tf.int64), tf.constant(goal, tf.int64), *source.arguments()]
        done, count, last, *self.values = self._bound(arguments, state)
        return int(done.numpy()), int(count.numpy()), float(last.numpy())


def call(function: Bound, arguments: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Runs a function on all of its arguments, or adds its call to the graph that is being made."""
    return list(
        tf.raw_ops.StatefulPartitionedCall(
            args=list(arguments), Tout=function.output_types, f=function.concrete, config_proto=function.config
        )
    )


def call_once(concrete: Any, arguments: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Runs a function that will not run again, without optimizing it first.

    That takes longer than it saves, and keeps copies of the function's constants: a data set made from 1.7 MB of
    sequences took 0.5 s and 90 MB more.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    types = [t.dtype for t in concrete.outputs]
    serialized = config.SerializeToString()
    return list(
        tf.raw_ops.StatefulPartitionedCall(args=list(arguments), Tout=types, f=concrete, config_proto=serialized)
    )


# What TensorFlow does to a graph before it first runs, but for layouts and the like, which concern GPUs.
_PASSES = ["pruning", "function", "common_subgraph_elimination", "shape", "constfold", "arithmetic", "loop",
           "dependency", "remap", "memory"]  # fmt: skip
_UNTOUCHED = {"disable_model_pruning": False, "disable_meta_optimizer": False}


def optimization() -> bytes:
    """How a function is made ready before its first call: on the CPU by `_PASSES`, once.

    TensorFlow runs more of them, and all twice. That takes 20 ms for a small network instead of 12, and the function is
    no faster (W1, W2, W3, evaluation, prediction). What the user has set by `tf.config.optimizer` is left as it is.
    """
    chosen = tf.config.optimizer
    touched = chosen.get_experimental_options() != _UNTOUCHED or chosen.get_jit()
    if touched or tf.config.list_logical_devices("GPU"):
        return b""
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.optimizers.extend(_PASSES)
    config.graph_options.rewrite_options.meta_optimizer_iterations = 1
    return bytes(config.SerializeToString())


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
