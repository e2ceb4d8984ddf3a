"""Batches for several replicas: each step takes one for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..distribution.replicas import Replicas
from .source import BatchSource


class ReplicaSource(BatchSource):
    """A source whose batch is that of all replicas of this process, one after the other.

    It takes as many steps at once as `source` has batches for, in the graph, and holds the batches of a single step
    beforehand where that can't be done: at the edge of what a source gives at once, and (`eager`) where no process may
    start a step before its batches are there.

    Args:
        source: gives the replicas' batches.
        replicas: the run's. A source without an order of its own per process (`same_everywhere`) gives all processes
            the same batches; each then takes its own and leaves out the others'.
        eager: whether each step's batches are held before it.

    Attributes:
        left: batches at the end of the input that are too few for a step.
    """

    def __init__(self, source: BatchSource, replicas: Replicas, *, eager: bool = False) -> None:
        self.source = source
        self.element_spec = source.element_spec
        self.left: list[list[tf.Tensor]] = []
        self.same_everywhere = source.same_everywhere
        self._replicas = replicas
        self._count = len(replicas.devices)
        self._eager = eager
        self._held: list[tf.Tensor] | None = None

    @property
    def signature(self) -> Any:
        kind = ("replicas", self.source.signature) if self._held is None else ("held", repr(self.element_spec))
        return (*kind, self._count)

    def specs(self) -> list[tf.TensorSpec]:
        if self._held is None:
            return self.source.specs()
        specs = tf.nest.flatten(self.element_spec, expand_composites=True)
        return [tf.TensorSpec(spec.shape, spec.dtype) for _ in range(self._count) for spec in specs]

    def arguments(self) -> list[tf.Tensor]:
        return self.source.arguments() if self._held is None else self._held

    def block(self, steps: tf.Tensor, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[Any]:
        return arguments if self._held is not None else self.source.block(steps * self._count, arguments)

    def batch(self, index: tf.Tensor, block: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        if self._held is not None:
            return list(block)
        first = index * self._count
        parts = [self.source.batch(first + tf.cast(r, first.dtype), block) for r in range(self._count)]
        return [tensor for part in parts for tensor in part]

    def single(self, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        return self.batch(tf.constant(0, tf.int64), self.block(tf.constant(1, tf.int64), arguments))

    def next(self) -> list[tf.Tensor]:
        if self.limit(1) < 1:
            raise StopIteration
        return self.single(self.arguments())

    def limit(self, steps: int) -> int:
        if self._held is None and not self._eager:
            ready = self.source.limit(steps * self._count) // self._count
            if ready:
                return ready
        if self._held is None:
            self._hold()
        return 0 if self._held is None else 1

    def advance(self, steps: int) -> None:
        if self._held is None:
            self.source.advance(steps * self._count)
        self._held = None

    def state(self) -> dict[str, bytes]:
        return self.source.state()

    def restore(self, state: dict[str, bytes]) -> bool:
        if self._replicas.workers > 1 and not self.same_everywhere:
            return False  # Only the chief's position is in a checkpoint: all start from the beginning, not all but one.
        return self.source.restore(state)

    def close(self) -> None:
        self.source.close()

    def _hold(self) -> None:
        """Takes the next step's batches, or leaves them in `left` when they are too few."""
        first, among = (self._replicas.first, self._replicas.total) if self.same_everywhere else (0, self._count)
        own: list[list[tf.Tensor]] = []
        for position in range(among):
            if self.source.limit(1) < 1:
                break
            try:
                if first <= position < first + self._count:
                    own.append(self.source.next())
            except (StopIteration, tf.errors.OutOfRangeError):
                break
            self.source.advance(1)
        else:
            self._held = [tensor for batch in own for tensor in batch]
            return
        self.left = own
