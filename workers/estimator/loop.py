"""Functions that run one step or many steps of a trace in one call, input included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from workers.estimator.graph import Function, Trace
from workers.estimator.inputs.source import Source
from workers.estimator.variables import VariableSet


class Stepper:
    """One step with the values of a fetch set: takes the next batch and calls the function on it.

    Args:
        function: what a step does.
        source: gives the batches; later calls may use any source of the same signature.
        counter: name of the variable whose value after the step is returned last; None for none.
        fed: tensors that hooks feed, each with the position in the batch that it replaces, or None for one that
            the function takes after the batch.
    """

    def __init__(
        self,
        function: Function,
        source: Source,
        counter: str | None = None,
        fed: Sequence[tuple[tf.Tensor, int | None]] = (),
    ) -> None:
        self._bound = _Bound(function)

        def step(*arguments: Any) -> list[tf.Tensor]:
            given, rest = list(arguments[: len(fed)]), list(arguments[len(fed) :])
            batch = source.batch(tf.constant(0, tf.int64), source.block(tf.constant(1, tf.int64), rest))
            for value, (_, position) in zip(given, fed, strict=True):
                if position is None:
                    batch.append(value)
                else:
                    batch[position] = value
            outputs = _call(function, batch)
            if counter is None:
                return outputs
            with tf.control_dependencies(outputs):
                return [*outputs, tf.cast(function.trace.value_of(counter).read_value(), tf.int64)]

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor, _ in fed]
        self._bound.trace(step, [*specs, *source.trace_arguments()])

    def __call__(self, source: Source, state: VariableSet, fed: Sequence[tf.Tensor] = ()) -> list[tf.Tensor]:
        """Runs one step.

        Raises:
            OutOfRangeError: the input has ended.
        """
        return self._bound([*fed, *source.arguments()], state)


def stepper_for(
    trace: Trace, elements: Sequence[Any], fed: Sequence[tf.Tensor], source: Source, counter: str | None
) -> Stepper:
    """The cached one-step function of a fetch set; `fed` tensors come first in its call."""
    fed_names = [t.name for t in fed]

    def make() -> Stepper:
        function: Function = trace.function(elements, [*trace.feeds, *(t for t in fed if t.name not in by_name)])
        return Stepper(function, source, counter, [(t, by_name.get(t.name)) for t in fed])

    by_name = {t.name: i for i, t in enumerate(trace.feeds)}
    key = ("step", tuple(e.name for e in elements), tuple(fed_names), source.signature, counter)
    return trace.cached(key, make)  # type: ignore[no-any-return]


class Repeater:
    """Up to k steps in one call; stops early after a loss that is not finite, or when the counter reaches its goal.

    Args:
        function: what a step does; its first tensor is the loss, if `loss`.
        source: gives the batches.
        counter: name of the variable that counts steps.
        loss: whether to watch the loss.
        compiled: whether the loop is one program compiled by XLA; `source.compilable` says for how many steps at most.
    """

    def __init__(
        self, function: Function, source: Source, counter: str, loss: bool = True, compiled: bool = False
    ) -> None:
        self._bound = _Bound(function)

        def loop(steps: tf.Tensor, goal: tf.Tensor, *block: Any) -> list[tf.Tensor]:
            count = function.trace.value_of(counter)

            def more(i: tf.Tensor, done: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
                return (i < steps) & (done < goal) & tf.math.is_finite(last)

            def once(i: tf.Tensor, done: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, ...]:
                outputs = _call(function, source.batch(i, list(block)))
                with tf.control_dependencies(outputs):
                    done = tf.cast(count.read_value(), tf.int64)
                    return i + 1, done, tf.reshape(tf.cast(outputs[0], tf.float32), []) if loss else last

            start = (tf.constant(0, tf.int64), tf.cast(count.read_value(), tf.int64), tf.constant(0.0))
            return list(tf.while_loop(more, once, start, parallel_iterations=1))

        run = tf.function(loop, autograph=False, jit_compile=True) if compiled else loop

        def repeat(steps: tf.Tensor, goal: tf.Tensor, *arguments: Any) -> list[tf.Tensor]:
            make = source.padded_block if compiled else source.block  # type: ignore[attr-defined]
            return list(run(steps, goal, *make(steps, list(arguments))))

        int64 = tf.TensorSpec([], tf.int64)
        self._bound.trace(repeat, [int64, int64, *source.trace_arguments()])

    def __call__(self, steps: int, goal: int, source: Source, state: VariableSet) -> tuple[int, int, float]:
        """Runs at most `steps` steps.

        Returns:
            Steps done, value of the counter, last loss.

        Raises:
            OutOfRangeError: the input has ended; the counter tells after how many steps.
        """
        arguments = [tf.constant(steps, tf.int64), tf.constant(goal, tf.int64), *source.arguments()]
        done, count, last = self._bound(arguments, state)
        return int(done.numpy()), int(count.numpy()), float(last.numpy())


class _Bound:
    """A traced function whose captured handles are put in from a set of variables at each call."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._concrete: Any = None
        self._captures: list[tuple[tf.Tensor, str | None]] = []
        self._types: list[tf.DType] = []

    def trace(self, body: Any, arguments: Sequence[Any]) -> None:
        self._concrete = tf.function(body, autograph=False).get_concrete_function(*arguments)
        reference = self._function.trace.reference
        names = {id(reference[name].handle): name for name in reference.names()}
        self._captures = [(c, names.get(id(c))) for c in self._concrete.captured_inputs]
        self._types = [t.dtype for t in self._concrete.outputs]

    def __call__(self, arguments: Sequence[tf.Tensor], state: VariableSet) -> list[tf.Tensor]:
        handles = [capture if name is None else state[name].handle for capture, name in self._captures]
        return list(tf.raw_ops.StatefulPartitionedCall(args=[*arguments, *handles], Tout=self._types, f=self._concrete))


def _call(function: Function, batch: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Calls `function` inside another one, on the reference variables.

    The variables come after the batch: where the function is inlined, an update that takes nothing of the batch would
    otherwise happen once more at the end of the input.
    """
    with tf.control_dependencies(batch):
        handles = [tf.identity(handle) for handle in function.bind(function.trace.reference)]
    outputs = tf.raw_ops.StatefulPartitionedCall(
        args=[*batch, *handles], Tout=function.output_types, f=function.concrete
    )
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
