"""Many steps in one call that keeps what some tensors were at each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from ..variables import VariableSet
from .functions import MultiStep
from .step import StepInput, counts_by_one

#: Steps of one call at most, and bytes that their values take.
MOST_STEPS, MOST_BYTES = 128, 1 << 20
_DTYPES = (tf.float32, tf.float64, tf.int32, tf.int64)


class KeptValues:
    """A `MultiStep` whose first tensors' values stay readable, those of a call that failed too.

    Each value goes into a row of a variable: a call that comes to the end of the input returns nothing.

    Args:
        trace: whose steps they are.
        tensors: what is kept. The first is a loss that is watched.
        elements: what a step runs besides.
        source: gives the batches.
        counter: name of the variable that counts steps.
        most: steps of a call.
    """

    def __init__(
        self,
        trace: TracedModel,
        tensors: Sequence[tf.Tensor],
        elements: Sequence[Any],
        source: BatchSource,
        counter: str,
        most: int,
    ) -> None:
        self.most = most
        self._counter = counter
        self._names = [tensor.name for tensor in tensors]
        with tf.device("CPU"):
            self._rows = [tf.Variable(tf.zeros([most, *t.shape], t.dtype), trainable=False) for t in tensors]
        self._loop = MultiStep(trace, [*tensors, *elements], source, counter, kept=self._rows)

    def __call__(
        self, steps: int, goal: int, source: BatchSource, state: VariableSet
    ) -> tuple[int, int, float, list[dict[str, Any]], BaseException | None]:
        """Runs at most `steps` steps.

        Returns:
            Steps done, value of the counter, last loss, the kept values of each step by name, and the error that ended
            the call, if one did.
        """
        before = int(state[self._counter].numpy())
        error: BaseException | None = None
        try:
            done, count, loss = self._loop(min(steps, self.most), goal, source, state)
        except tf.errors.OpError as caught:
            count = int(state[self._counter].numpy())
            done, loss, error = count - before, 0.0, caught
        kept = {name: rows.numpy() for name, rows in zip(self._names, self._rows, strict=True)}
        return done, count, loss, [{name: rows[i] for name, rows in kept.items()} for i in range(done)], error


def keep_values(
    trace: TracedModel, tensors: Sequence[tf.Tensor], elements: Sequence[Any], source: BatchSource, counter: str
) -> KeptValues | None:
    """`KeptValues`, or None where values can't be kept.

    That is where one has no static shape, is no plain number or takes much room, where there are replicas, and where a
    step does not raise the counter by one.
    """
    names = tuple(tensor.name for tensor in tensors), tuple(element.name for element in elements)
    key = ("kept", *names, source.signature, counter)
    return trace.memo.get(key, lambda: _keep_values(trace, tensors, elements, source, counter))  # type: ignore[no-any-return]


def _keep_values(
    trace: TracedModel, tensors: Sequence[tf.Tensor], elements: Sequence[Any], source: BatchSource, counter: str
) -> KeptValues | None:
    if trace.strategy is not None:
        return None
    if any(t.dtype not in _DTYPES or not t.shape.is_fully_defined() for t in tensors):
        return None
    size = sum(int(np.prod(t.shape.as_list(), dtype=np.int64)) * t.dtype.size for t in tensors)
    most = min(MOST_STEPS, MOST_BYTES // max(size, 1))
    inputs = StepInput(trace, [*tensors, *elements], source)
    if most < 2 or not counts_by_one(trace, inputs.subgraph, counter):
        return None
    return KeptValues(trace, tensors, elements, source, counter, most)
