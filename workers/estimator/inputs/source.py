"""Where batches come from while the loop runs in the graph.

A source says what one batch looks like (`element_spec`), gives the eager tensors that a function takes to reach it
(`arguments`), and makes the i-th batch of a call inside that function (`batch`).
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

import tensorflow as tf

log = logging.getLogger(__name__)


class Source(Protocol):
    """A stream of batches.

    Attributes:
        element_spec: nest of `tf.TypeSpec` of one batch; None when the batch is made in the model's own graph.
        signature: hashable; functions made for one source serve any other of the same signature.
    """

    element_spec: Any
    signature: Any

    def trace_arguments(self) -> list[Any]:
        """What a `tf.function` is traced with; flattens to as many tensors as `arguments` gives."""

    def arguments(self) -> list[tf.Tensor]:
        """Eager tensors for the next call."""

    def block(self, steps: tf.Tensor, arguments: list[Any]) -> list[Any]:
        """In the graph, once per call: what the next `steps` batches are made from."""

    def batch(self, index: tf.Tensor, block: list[Any]) -> list[tf.Tensor]:
        """In the graph: the components of the `index`-th batch of this call."""

    def limit(self, steps: int) -> int:
        """How many batches one call can take, at most `steps`; 0 at the end of the input."""

    def advance(self, steps: int) -> None:
        """Notes that `steps` batches were taken."""

    def state(self) -> dict[str, bytes]:
        """What resumes this source at its present position; empty when that can't be had."""

    def restore(self, state: dict[str, bytes]) -> bool:
        """Goes to a saved position; False (and nothing changed) when the state is another source's."""


def flatten(batch: Any) -> list[tf.Tensor]:
    """Components of a nest of dense, sparse and ragged tensors, in the order of a trace's placeholders."""
    return list(tf.nest.flatten(batch, expand_composites=True))


class GraphSource:
    """The batch is made by operations of the model's own graph: an `input_fn` that returned tensors."""

    element_spec: Any = None
    signature: Any = "graph"

    def trace_arguments(self) -> list[Any]:
        return []

    def arguments(self) -> list[tf.Tensor]:
        return []

    def block(self, steps: tf.Tensor, arguments: list[Any]) -> list[Any]:
        return arguments

    def batch(self, index: tf.Tensor, block: list[Any]) -> list[tf.Tensor]:
        return []

    def limit(self, steps: int) -> int:
        return steps

    def advance(self, steps: int) -> None:
        return None

    def state(self) -> dict[str, bytes]:
        return {}

    def restore(self, state: dict[str, bytes]) -> bool:
        return False


class IteratorSource:
    """A `tf.data` iterator.

    Args:
        dataset: an eager data set.
        fingerprint: stands for what the data set computes; a saved position is only taken up under the same one.
    """

    def __init__(self, dataset: tf.data.Dataset, fingerprint: str = "") -> None:
        options = tf.data.Options()
        # Closing an endless iterator whose autotuning is on sometimes blocks for seconds.
        options.autotune.enabled = False
        self._iterator = iter(dataset.with_options(options))
        self._handle = tf.nest.flatten(self._iterator, expand_composites=True)[0]
        self._fingerprint = fingerprint.encode()
        self._told = False
        self.element_spec = dataset.element_spec
        self.signature = ("iterator", repr(dataset.element_spec))

    def trace_arguments(self) -> list[Any]:
        return [self._iterator]

    def arguments(self) -> list[tf.Tensor]:
        return [self._handle]

    def block(self, steps: tf.Tensor, arguments: list[Any]) -> list[Any]:
        return arguments

    def batch(self, index: tf.Tensor, block: list[Any]) -> list[tf.Tensor]:
        return flatten(next(block[0]))

    def next(self) -> list[tf.Tensor]:
        """The next batch's components, eagerly.

        Raises:
            StopIteration: the input has ended.
        """
        return flatten(next(self._iterator))

    def limit(self, steps: int) -> int:
        return steps

    def advance(self, steps: int) -> None:
        return None

    def state(self) -> dict[str, bytes]:
        try:
            saved = tf.raw_ops.SerializeIterator(resource_handle=self._handle)
        except tf.errors.OpError:
            # A Python generator or another state outside of TensorFlow.
            if not self._told:
                log.info("The position of the input can't be saved: a resumed run starts it from its beginning.")
            self._told = True
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
