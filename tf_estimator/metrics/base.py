"""The interface of a streaming metric."""

from __future__ import annotations

import abc
from typing import Any

import tensorflow as tf

from ..optimizer.slot_variable import root_variable


class Metric(abc.ABC):
    """A value computed over many batches, in the graph in which it was made.

    `update_state` adds the ops that take in one batch, `result` those that give the value. The state lives in local
    variables, so that no checkpoint holds it and the initializer of local variables resets it.

    Attributes:
        name: the metric's name; also names its variables.
        updates: the update ops so far, one per `update_state`.
        variables: the state.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.updates: list[tf.Operation] = []
        self.variables: list[tf.Variable] = []

    @abc.abstractmethod
    def result(self) -> tf.Tensor:
        """The value over all batches so far, a float32 scalar tensor."""

    def update_state(self, *args: Any, **kwargs: Any) -> tf.Operation:
        """Adds and returns the op that takes in one batch; it is also remembered in `updates`."""
        with tf.name_scope(self.name.replace("/", "_")):
            update = self._update(*args, **kwargs)
        self.updates.append(update)
        return update

    def reset_state(self) -> tf.Operation:
        """Adds and returns the op that forgets all batches."""
        return tf.group(*[v.assign(tf.zeros(v.shape, v.dtype), read_value=False) for v in self.variables])

    def value_and_update(self) -> tuple[tf.Tensor, tf.Operation]:
        """The metric as the pair of value and update op that `EstimatorSpec.eval_metric_ops` also takes.

        Raises:
            ValueError: `update_state` was never called.
        """
        if not self.updates:
            raise ValueError(f"Call update_state of the metric {self.name!r} before handing it to an EstimatorSpec.")
        return self.result(), tf.group(*self.updates)

    @abc.abstractmethod
    def _update(self, *args: Any, **kwargs: Any) -> tf.Operation:
        """Adds the ops of one batch."""

    def _add_variable(self, name: str, shape: tuple[int, ...] = ()) -> tf.Variable:
        keys = tf.compat.v1.GraphKeys
        full = tf.compat.v1.get_default_graph().unique_name(f"{self.name}/{name}", mark_as_used=False)
        variable = root_variable(full, shape, collections=[keys.LOCAL_VARIABLES, keys.METRIC_VARIABLES])
        self.variables.append(variable)
        return variable


def broadcast_weights(weights: Any, values: Any) -> tf.Tensor:
    """Weights as a float32 tensor of the shape of `values`; ones when `weights` is None.

    Weights of one dimension less than the values get a last dimension of one first.
    """
    if weights is None:
        return tf.ones_like(values, tf.float32)
    weights = tf.cast(weights, tf.float32)
    if weights.shape.rank is not None and values.shape.rank is not None and 0 < weights.shape.rank < values.shape.rank:
        weights = tf.expand_dims(weights, -1)
    return tf.broadcast_to(weights, tf.shape(values))
