"""Functions that run one step or many steps of a trace in one call, input included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..graph.function import BoundLoop, BoundStep, call, while_counting
from ..graph.threads import wrapped
from ..graph.trace import Function, Trace
from ..inputs.source import Source
from .replicas import ReplicaRepeater, ReplicaStepper
from .step import StepInput, one_step, repeated


class Stepper(BoundStep):
    """One step with the values of a fetch set: takes the next batch and runs what the fetches need on it.

    Args:
        trace: whose step it is.
        elements: the tensors and operations that are fetched.
        source: gives the batches; later calls may use any source of the same signature.
        counter: name of the variable whose value after the step is returned last; None for none.
        fed: tensors that hooks feed; they come first in a call.
    """

    def __init__(
        self,
        trace: Trace,
        elements: Sequence[Any],
        source: Source,
        counter: str | None = None,
        fed: Sequence[tf.Tensor] = (),
    ) -> None:
        inputs = StepInput(trace, elements, source, fed)

        def step(*arguments: Any) -> list[tf.Tensor]:
            tensors, done = one_step(inputs, trace, arguments[: len(fed)], arguments[len(fed) :])
            with tf.control_dependencies(done):
                outputs = [tf.identity(tensor) for tensor in tensors] or [tf.constant(0, tf.int32)]
                if counter is None:
                    return outputs
                return [*outputs, tf.cast(trace.value_of(counter).read_value(), tf.int64)]

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in fed]
        super().__init__(trace, wrapped(step, [*specs, *source.specs()]))


def stepper_for(
    trace: Trace, elements: Sequence[Any], fed: Sequence[tf.Tensor], source: Source, counter: str | None
) -> BoundStep:
    """The cached one-step function of a fetch set; `fed` tensors come first in its call."""

    def make() -> BoundStep:
        if trace.strategy is None:
            return Stepper(trace, elements, source, counter, fed)
        position = {t.name: i for i, t in enumerate(trace.feeds)}
        function = trace.step_function(elements, [t for t in fed if t.name not in position])
        return ReplicaStepper(function, source, counter, [(t, position.get(t.name)) for t in fed])

    key = ("step", tuple(e.name for e in elements), tuple(t.name for t in fed), source.signature, counter)
    return trace.cached(key, make)  # type: ignore[no-any-return]


class Repeater(BoundLoop):
    """Up to k steps in one call; stops early after a loss that is not finite, or when the counter reaches its goal.

    Args:
        trace: whose steps they are.
        elements: what a step runs; the first is the loss, if `loss`.
        source: gives the batches.
        counter: name of the variable that counts steps.
        loss: whether to watch the loss.
        compiled: whether the loop is one program compiled by XLA; `source.compilable` says for how many steps at most.
        after: tensors that need no batch, computed after the steps; not with `compiled`.

    Attributes:
        values: those of `after`, of the last call.
    """

    def __init__(
        self,
        trace: Trace,
        elements: Sequence[Any],
        source: Source,
        counter: str,
        loss: bool = True,
        compiled: bool = False,
        after: Sequence[tf.Tensor] = (),
    ) -> None:
        then = trace.cut(after, []) if after else None
        inputs = StepInput(trace, elements, source)
        program = _program(inputs, trace, elements, counter, loss) if compiled else None

        def repeat(steps: tf.Tensor, goal: tf.Tensor, *arguments: Any) -> list[tf.Tensor]:
            if program is not None:
                return list(program(steps, goal, *inputs.padded_block(steps, list(arguments))))
            return repeated(inputs, trace, counter, loss, steps, goal, inputs.block(steps, list(arguments)), then)

        int64 = tf.TensorSpec([], tf.int64)
        super().__init__(trace, wrapped(repeat, [int64, int64, *source.specs()]))


def repeater_for(
    trace: Trace,
    elements: Sequence[Any],
    source: Source,
    counter: str,
    *,
    loss: bool = True,
    compiled: bool = False,
    after: Sequence[tf.Tensor] = (),
) -> BoundLoop:
    """A `Repeater`, for as many replicas as the trace has; several are not compiled."""
    if trace.strategy is None:
        return Repeater(trace, elements, source, counter, loss, compiled, after)
    return ReplicaRepeater(trace.step_function(elements), source, counter, loss)


def _program(inputs: StepInput, trace: Trace, elements: Sequence[Any], counter: str, loss: bool) -> Any:
    """The loop of a `Repeater` as a function that XLA compiles; XLA wants it with functions for condition and body."""
    function: Function = trace.function(elements, inputs.cut.feeds)

    def loop(steps: tf.Tensor, goal: tf.Tensor, *block: Any) -> list[tf.Tensor]:
        def step(index: tf.Tensor) -> list[tf.Tensor]:
            handles = [tf.identity(handle) for handle in function.bind(trace.reference)]
            return call(function, [*inputs.parts(index, list(block)), *handles])

        return while_counting(trace.value_of(counter), steps, goal, loss, step)

    return tf.function(loop, autograph=False, jit_compile=True)
