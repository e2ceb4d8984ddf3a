"""Step functions of a traced model: one step, or many steps, per call, input included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..graph.function import Function, call
from ..graph.threads import wrapped
from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from .replica_step import ReplicaMultiStep, ReplicaSingleStep
from .step import StepInput, one_step, repeated
from .step_function import LoopFunction, StepFunction, while_counting


class SingleStep(StepFunction):
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
        trace: TracedModel,
        elements: Sequence[Any],
        source: BatchSource,
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
                return [*outputs, tf.cast(trace.captures.variable(counter).read_value(), tf.int64)]

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in fed]
        super().__init__(trace.captures, wrapped(step, [*specs, *source.specs()]))


def single_step(
    trace: TracedModel, elements: Sequence[Any], fed: Sequence[tf.Tensor], source: BatchSource, counter: str | None
) -> StepFunction:
    """The cached one-step function of a fetch set; `fed` tensors come first in its call."""

    def make() -> StepFunction:
        if trace.strategy is None:
            return SingleStep(trace, elements, source, counter, fed)
        position = {t.name: i for i, t in enumerate(trace.feeds)}
        function = trace.functions.step_function(elements, [t for t in fed if t.name not in position])
        return ReplicaSingleStep(function, source, counter, [(t, position.get(t.name)) for t in fed])

    key = ("step", tuple(e.name for e in elements), tuple(t.name for t in fed), source.signature, counter)
    return trace.memo.get(key, make)  # type: ignore[no-any-return]


class MultiStep(LoopFunction):
    """Up to k steps in one call; stops early after a loss that is not finite, or when the counter reaches its goal.

    Args:
        trace: whose steps they are.
        elements: what a step runs; the first is the loss, if `loss`.
        source: gives the batches.
        counter: name of the variable that counts steps.
        loss: whether to watch the loss.
        compiled: whether the loop is one program compiled by XLA, for `source.compiled_steps` steps at most.
        after: tensors that need no batch, computed after the steps; not with `compiled`.
        kept: variables for the values of the first tensors of `elements` at each step; see `KeptValues`.

    Attributes:
        values: those of `after`, of the last call.
    """

    def __init__(
        self,
        trace: TracedModel,
        elements: Sequence[Any],
        source: BatchSource,
        counter: str,
        loss: bool = True,
        compiled: bool = False,
        after: Sequence[tf.Tensor] = (),
        kept: Sequence[tf.Variable] = (),
    ) -> None:
        then = trace.functions.subgraph(after, []) if after else None
        inputs = StepInput(trace, elements, source)
        program = _program(inputs, trace, elements, counter, loss) if compiled else None

        def repeat(steps: tf.Tensor, goal: tf.Tensor, *arguments: Any) -> list[tf.Tensor]:
            if program is not None:
                return list(program(steps, goal, *inputs.padded_block(steps, list(arguments))))
            block = inputs.block(steps, list(arguments))
            return repeated(inputs, trace, counter, loss, steps, goal, block, then, kept)

        int64 = tf.TensorSpec([], tf.int64)
        super().__init__(trace.captures, wrapped(repeat, [int64, int64, *source.specs()]))


def multi_step(
    trace: TracedModel,
    elements: Sequence[Any],
    source: BatchSource,
    counter: str,
    *,
    loss: bool = True,
    compiled: bool = False,
    after: Sequence[tf.Tensor] = (),
) -> LoopFunction:
    """A `MultiStep`, for as many replicas as the trace has; several are not compiled."""
    if trace.strategy is None:
        return MultiStep(trace, elements, source, counter, loss, compiled, after)
    return ReplicaMultiStep(trace.functions.step_function(elements), source, counter, loss)


def _program(inputs: StepInput, trace: TracedModel, elements: Sequence[Any], counter: str, loss: bool) -> Any:
    """The loop of a `MultiStep` as a function that XLA compiles; XLA wants it with functions for condition and body."""
    function: Function = trace.functions.function(elements, inputs.subgraph.feeds)

    def loop(steps: tf.Tensor, goal: tf.Tensor, *block: Any) -> list[tf.Tensor]:
        def step(index: tf.Tensor) -> list[tf.Tensor]:
            handles = [tf.identity(handle) for handle in function.bind(trace.captures.reference)]
            return call(function, [*inputs.parts(index, list(block)), *handles])

        return while_counting(trace.captures.variable(counter), steps, goal, loss, step)

    return tf.function(loop, autograph=False, jit_compile=True)
