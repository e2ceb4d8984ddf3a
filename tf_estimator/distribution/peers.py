"""Messages between the processes of a cluster, apart from gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from ..errors import LostWorkerError
from ..variables import VariableSet
from .replicas import Replicas
from .replicate import NUMBERS_PER_MARK, collective_sum, powers_of_two
from .strategy import next_collective_number

v1 = tf.compat.v1

_PARTING_MS = 60_000


class ClusterPeers:
    """The processes that train together. All call the same methods in the same order, or all wait.

    Args:
        replicas: the run's, of several workers.
    """

    def __init__(self, replicas: Replicas) -> None:
        self.is_chief = replicas.worker == 0
        self._replicas = replicas
        number, large = next_collective_number() * NUMBERS_PER_MARK, next_collective_number() * NUMBERS_PER_MARK
        self._parted = f"tf_estimator/parted/{number}"

        def total(values: tf.Tensor) -> tf.Tensor:
            bits, width = powers_of_two(tf.size(values))
            with tf.device(replicas.devices[0]):
                padded = tf.pad(values, [[0, width - tf.size(values)]])
                return collective_sum(padded, replicas, large + bits)[: tf.size(values)]

        def flags(values: tf.Tensor) -> tf.Tensor:
            with tf.device(replicas.devices[0]):
                return collective_sum(values, replicas, number)

        self._total = v1.wrap_function(total, [tf.TensorSpec([None], tf.int32)])
        self._flags = v1.wrap_function(flags, [tf.TensorSpec([2], tf.int64)])

    def all_reduce_flags(self, one: int, other: int) -> tuple[int, int]:
        """The sums of two numbers over all processes."""
        first, second = self._flags(tf.constant([one, other], tf.int64)).numpy()
        return int(first), int(second)

    def broadcast_int(self, value: int) -> int:
        """The chief's number, everywhere."""
        return self.all_reduce_flags(value if self.is_chief else 0, 0)[0]

    def broadcast_bytes(self, data: bytes) -> bytes:
        """The chief's bytes, everywhere."""
        size = self.broadcast_int(len(data))
        own = data.ljust(-(-size // 4) * 4, b"\0") if self.is_chief else bytes(-(-size // 4) * 4)
        if not own:
            return b""
        return bytes(self._total(tf.constant(np.frombuffer(own, np.int32))).numpy().tobytes()[:size])

    def broadcast_state(self, state: VariableSet, names: Iterable[str]) -> None:
        """Gives variables the values that they have in the chief's process."""
        for name in names:
            variable = state[name]
            own = tf.io.serialize_tensor(variable.read_value()).numpy() if self.is_chief else b""
            sent = self.broadcast_bytes(own)
            if not self.is_chief:
                state.assign({name: tf.io.parse_tensor(sent, variable.dtype)})

    def broadcast_position(self, source: Any) -> None:
        """Takes a source that can be the same everywhere to where it is in the chief's process.

        Raises:
            ValueError: it is not the same as the chief's.
        """
        if not source.same_everywhere:
            return
        state = source.state()
        same = source.restore({key: self.broadcast_bytes(state[key]) for key in sorted(state)})
        if self.all_reduce_flags(not same, 0)[0]:
            self.part()
            raise ValueError(
                "The processes of the cluster have different inputs: call columns_input_fn with the same columns and "
                "the same arguments, `seed` included, in all of them. It distributes its batches over them by itself."
            )

    def part(self) -> None:
        """Waits until all have come this far, or for a minute. The others fetch their share of the last collective
        operation from this process: if it ended before, they would take it for dead."""
        cluster = context.context()  # whose chief keeps these values for all; no public function reaches it
        with contextlib.suppress(tf.errors.OpError):  # a chief that is gone has seen all of us come
            cluster.set_config_key_value(f"{self._parted}/{self._replicas.worker}", "yes")
            for worker in range(self._replicas.workers):
                cluster.get_config_key_value(f"{self._parted}/{worker}", _PARTING_MS)

    @contextlib.contextmanager
    def translating_errors(self) -> Iterator[None]:
        """Turns the ways in which TensorFlow says that a process is gone into one.

        Raises:
            LostWorkerError: another process died or can't be reached.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
            reason = (error.message.partition("aborted by: ")[2] or error.message).partition("\nThe ")[0]
            raise LostWorkerError(
                f"Training stopped because another of the {self._replicas.workers} processes of the cluster died or "
                "can't be reached. Look into its log, then start all of them again: training continues from the last "
                f"checkpoint. TensorFlow says: {reason}"
            ) from error
