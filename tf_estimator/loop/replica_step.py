"""Step functions of several replicas: one step, or many steps, per call, input included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..graph.function import Function, call
from ..inputs.source import BatchSource
from .step_function import LoopFunction, StepFunction, while_counting


class ReplicaSingleStep(StepFunction):
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
        source: BatchSource,
        counter: str | None = None,
        fed: Sequence[tuple[tf.Tensor, int | None]] = (),
    ) -> None:
        def step(*arguments: Any) -> list[tf.Tensor]:
            given, rest = list(arguments[: len(fed)]), list(arguments[len(fed) :])
            batch = source.single(rest)
            for value, (_, position) in zip(given, fed, strict=True):
                if position is None:
                    batch.append(value)
                else:
                    for index in function.argument_indices(position):
                        batch[index] = value
            outputs = _call(function, batch)
            if counter is None:
                return outputs
            with tf.control_dependencies(outputs):
                return [*outputs, tf.cast(function.captures.variable(counter).read_value(), tf.int64)]

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor, _ in fed]
        super().__init__(
            function.captures, tf.function(step, autograph=False).get_concrete_function(*specs, *source.specs())
        )


class ReplicaMultiStep(LoopFunction):
    """Up to k steps in one call; stops early after a loss that is not finite, or when the counter reaches its goal.

    Args:
        function: what a step does; its first tensor is the loss, if `loss`.
        source: gives the batches.
        counter: name of the variable that counts steps.
        loss: whether to watch the loss.

    Attributes:
        values: none; the replicas' metrics are brought together first.
    """

    def __init__(self, function: Function, source: BatchSource, counter: str, loss: bool = True) -> None:
        def repeat(steps: tf.Tensor, goal: tf.Tensor, *arguments: Any) -> list[tf.Tensor]:
            block = source.block(steps, list(arguments))
            count = function.captures.variable(counter)
            return while_counting(count, steps, goal, loss, lambda i: _call(function, source.batch(i, list(block))))

        int64 = tf.TensorSpec([], tf.int64)
        super().__init__(
            function.captures, tf.function(repeat, autograph=False).get_concrete_function(int64, int64, *source.specs())
        )


def _call(function: Function, batch: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Calls `function` inside another one, on the reference variables.

    The variables come after the batch: where the function is inlined, an update that takes nothing of the batch would
    otherwise happen once more at the end of the input.
    """
    with tf.control_dependencies(batch):
        handles = [tf.identity(handle) for handle in function.bind(function.captures.reference)]
    return call(function, [*batch, *handles])
