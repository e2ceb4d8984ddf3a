"""Batch sources: where a step's batches come from while the loop runs in the graph.

A source says what one batch looks like (`element_spec`), gives the eager tensors that a function takes to reach it
(`arguments`), and makes the i-th batch of a call inside that function (`batch`).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

log = logging.getLogger(__name__)


class BatchSource(ABC):
    """A stream of batches.

    Attributes:
        element_spec: nest of `tf.TypeSpec` of one batch; None when the batch is made in the model's own graph.
        may_end: whether a batch may turn out not to be there, so that nothing may happen before it is.
        same_everywhere: whether the processes of a cluster that have one position get the same batches.
        keep_alive: objects that must live as long as the source.
    """

    element_spec: Any = None
    may_end = True
    same_everywhere = False
    keep_alive: Sequence[Any] = ()

    @property
    @abstractmethod
    def signature(self) -> Any:
        """Hashable; functions made for one source serve any other of the same signature."""

    @property
    def compiled_steps(self) -> int:
        """For how many steps at most one program compiled by XLA takes its batches; 0 if it can't."""
        return 0

    def specs(self) -> list[tf.TensorSpec]:
        """Shape and dtype of each of the `arguments`."""
        return []

    def arguments(self) -> list[tf.Tensor]:
        """Eager tensors for the next call."""
        return []

    def locate_stack(self, positions: Sequence[int]) -> Any:
        """Location in the source of the components `positions` of a batch side by side; None if they are not."""
        return None

    def turned(self, location: Any) -> bool:
        """Whether the matrix of a location is the transpose of one that is there, big enough for `turn_products`."""
        return False

    def block(self, steps: tf.Tensor, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[Any]:
        """In the graph, once per call: what the next `steps` batches are made from."""
        return arguments

    def padded_block(self, steps: tf.Tensor, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[Any]:
        """`block` of static shape: `compiled_steps` batches, of which the first `steps` are the next ones.

        Raises:
            ValueError: `compiled_steps` is 0.
        """
        raise ValueError(f"{type(self).__name__} gives no batches to a compiled program.")

    @abstractmethod
    def batch(self, index: tf.Tensor, block: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        """In the graph: the components of the `index`-th batch of this call, then a matrix for each of `stacks`."""

    @abstractmethod
    def single(self, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        """In the graph: `batch` of a call that takes a single one."""

    @abstractmethod
    def next(self) -> list[tf.Tensor]:
        """The components of the next batch, eagerly.

        Raises:
            StopIteration: the input has ended.
        """

    def limit(self, steps: int) -> int:
        """How many batches one call can take, at most `steps`; 0 at the end of the input."""
        return steps

    def advance(self, steps: int) -> None:
        """Notes that `steps` batches were taken."""
        return

    def state(self) -> dict[str, bytes]:
        """What resumes this source at its present position; empty when that can't be had."""
        return {}

    def restore(self, state: dict[str, bytes]) -> bool:
        """Goes to a saved position; False (and nothing changed) when the state is another source's."""
        return False

    def close(self) -> None:
        """Lets go of rows that are held for batches to come, and ends threads that gather such rows."""
        return


def flatten(batch: Any) -> list[tf.Tensor]:
    """Components of a nest of dense, sparse and ragged tensors, in the order of a trace's placeholders.

    `None`, which a data set may give for the labels, is no component.
    """
    return [part for part in tf.nest.flatten(batch, expand_composites=True) if part is not None]


class GraphSource(BatchSource):
    """The batch is made by operations of the model's own graph: an `input_fn` that returned tensors."""

    may_end = False

    @property
    def signature(self) -> Any:
        return "graph"

    def batch(self, index: tf.Tensor, block: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        return []

    def single(self, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        return []

    def next(self) -> list[tf.Tensor]:
        raise StopIteration


class IteratorSource(BatchSource):
    """A `tf.data` iterator.

    Args:
        dataset: an eager data set.
        fingerprint: stands for what the data set computes; a saved position is only taken up under the same one.
        direct: whether the thread that asks for a batch makes it. TensorFlow has another thread do it otherwise, so
            that one that waits for a function of the data set does not occupy the thread that would run it; that costs
            6 µs per batch in a loop and twice as much outside.
        keep_alive: objects that must live as long as the source.
    """

    def __init__(
        self, dataset: tf.data.Dataset, fingerprint: str = "", *, direct: bool = False, keep_alive: Sequence[Any] = ()
    ) -> None:
        options = tf.data.Options()
        # Closing an endless iterator whose autotuning is on sometimes blocks for seconds.
        options.autotune.enabled = False
        self._iterator = iter(dataset.with_options(options))
        self._handle = tf.nest.flatten(self._iterator, expand_composites=True)[0]
        self._fingerprint = fingerprint.encode()
        self._reported = False
        self.keep_alive = keep_alive
        self.element_spec = dataset.element_spec
        # Of others, a component of a batch is not a component of what the iterator gives.
        self._direct = direct and all(isinstance(s, tf.TensorSpec) for s in tf.nest.flatten(dataset.element_spec))
        self._signature = ("iterator", self._direct, repr(dataset.element_spec))

    @property
    def signature(self) -> Any:
        return self._signature

    def specs(self) -> list[tf.TensorSpec]:
        return [tf.TensorSpec([], tf.resource)]

    def arguments(self) -> list[tf.Tensor]:
        return [self._handle]

    def batch(self, index: tf.Tensor, block: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        return self.single(block)

    def single(self, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        if not self._direct:
            return flatten(next(tf.nest.pack_sequence_as(self._iterator, arguments, expand_composites=True)))
        specs = tf.nest.flatten(self.element_spec)
        types, shapes = [s.dtype for s in specs], [s.shape for s in specs]
        made = tf.raw_ops.IteratorGetNextSync(iterator=arguments[0], output_types=types, output_shapes=shapes)
        return list(made)

    def next(self) -> list[tf.Tensor]:
        return flatten(next(self._iterator))

    def state(self) -> dict[str, bytes]:
        try:
            saved = tf.raw_ops.SerializeIterator(resource_handle=self._handle)
        except tf.errors.OpError:
            # A Python generator or another state outside of TensorFlow.
            if not self._reported:
                log.info("The position of the input can't be saved: a resumed run starts it from its beginning.")
            self._reported = True
            return {}
        return {"iterator": tf.io.serialize_tensor(saved).numpy(), "fingerprint": self._fingerprint}

    def restore(self, state: dict[str, bytes]) -> bool:
        if "iterator" not in state or state.get("fingerprint") != self._fingerprint:
            return False
        saved = tf.io.parse_tensor(state["iterator"], tf.variant)
        try:
            tf.raw_ops.DeserializeIterator(resource_handle=self._handle, serialized=saved)
        except tf.errors.OpError:
            return False
        return True
