"""Base of all our optimizers: gradients, clipping, hyperparameter variables, slots.

They are written as graph ops with the fused kernels, keep the checkpoint names of the optimizers that `tf.estimator`
used (`training/<Name>/<variable>/<slot>`, `training/<Name>/<hyperparameter>`), and leave one op to run.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ..distribution.strategy import current
from .slot_variable import bare_name, root_variable

Number = float | int
TRAINING_SCOPE = "training"
Rate = Any  # a number, a scalar tensor, or a callable of nothing or of the step that gives one


class GraphOptimizer(abc.ABC):
    """An optimizer whose `minimize` adds ops to the current graph.

    Args:
        learning_rate: a number (kept in a variable, so that a checkpoint can carry it), a tensor, or a callable that
            gives it (a schedule) from the step, an int64 scalar.
        name: names the variables; each class has the old library's name as default.
        decay: the rate becomes `learning_rate / (1 + decay * step)`.
        clipnorm: each gradient is scaled down to this L2 norm at most.
        clipvalue: each element of a gradient is cut to [-clipvalue, clipvalue].
        global_clipnorm: all gradients together are scaled down to this L2 norm at most.

    Raises:
        ValueError: more than one of the three ways to clip, or a negative number where none makes sense.
    """

    default_name = ""

    def __init__(
        self,
        learning_rate: Rate,
        *,
        name: str | None = None,
        decay: Number = 0.0,
        clipnorm: Number | None = None,
        clipvalue: Number | None = None,
        global_clipnorm: Number | None = None,
        **hypers: Number,
    ) -> None:
        if sum(given is not None for given in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError("Only one of clipnorm, clipvalue and global_clipnorm can be set; leave the others out.")
        if isinstance(learning_rate, (int, float)) and learning_rate < 0:
            raise ValueError(f"learning_rate must be 0 or more, not {learning_rate}.")
        if decay < 0:
            raise ValueError(f"decay must be 0 or more, not {decay}.")
        self.name = name or self.default_name
        self.learning_rate = learning_rate
        self.decay = float(decay)
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.hypers = {key: float(value) for key, value in hypers.items()}

    @abc.abstractmethod
    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        """Adds and returns the op that updates `variable` with a gradient of its shape."""

    @abc.abstractmethod
    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        """Adds and returns the op that updates rows `indices` (all different) with `gradient` `[n, …]`."""

    def prepare(self, step: Step) -> None:  # noqa: B027  most optimizers have nothing to do here
        """Adds what all variables share, once before the first of them."""

    def minimize(
        self, loss: Any, variables: Sequence[Any], iterations: Any = None, scope: str = TRAINING_SCOPE
    ) -> tf.Operation:
        """Adds the ops of one training step to the current graph.

        Args:
            loss: scalar tensor.
            variables: the variables to change (Keras variables too).
            iterations: int64 step variable, raised by one in the end; when None, an own `<scope>/<Name>/iter`.
            scope: before the optimizer's name in the names of its variables.

        Returns:
            One op that depends on all updates.

        Raises:
            ValueError: there is no variable, or the loss depends on none of them.
        """
        pairs = self.clip(gradients_of(loss, variables))
        scope = _free_scope(f"{scope}/{self.name}")
        if iterations is None:
            iterations = root_variable(f"{scope}/iter", dtype=tf.int64, initial=0)
        with tf.name_scope(f"{scope}/"):
            step = Step(self, iterations, scope)
            self.prepare(step)
            updates = [self._update(step, gradient, variable) for gradient, variable in pairs]
            with tf.control_dependencies(updates):
                return step.iterations.assign_add(1, read_value=False)

    def clip(self, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """The (gradient, variable) pairs with their gradients clipped as the constructor's arguments say."""
        gradients, variables = [g for g, _ in pairs], [v for _, v in pairs]
        if self.clipnorm is not None:
            gradients = [tf.clip_by_norm(g, self.clipnorm) for g in gradients]
        elif self.clipvalue is not None:
            gradients = [tf.clip_by_value(g, -self.clipvalue, self.clipvalue) for g in gradients]
        elif self.global_clipnorm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.global_clipnorm)
        return list(zip(gradients, variables, strict=True))

    def _update(self, step: Step, gradient: Any, variable: Any) -> Any:
        if not isinstance(gradient, tf.IndexedSlices):
            return self.apply_dense(step, variable, gradient)
        return self.apply_sparse(step, variable, gradient.values, gradient.indices)


class Step:
    """One `minimize` in one graph: each hyperparameter read once, slots by variable."""

    def __init__(self, optimizer: GraphOptimizer, iterations: Any, scope: str) -> None:
        self.optimizer = optimizer
        self.scope = scope
        self.iterations = getattr(iterations, "value", iterations) if _is_keras(iterations) else iterations
        self._read: dict[str, Any] = {}
        hypers = {"decay": optimizer.decay, **optimizer.hypers}
        if isinstance(optimizer.learning_rate, (int, float)):
            hypers["learning_rate"] = float(optimizer.learning_rate)
        self._variables = {key: root_variable(f"{scope}/{key}", initial=value) for key, value in hypers.items()}

    def hyper(self, name: str) -> Any:
        """The hyperparameter's value, a float32 scalar tensor."""
        return self.once(name, self._variables[name].read_value)

    @property
    def rate(self) -> Any:
        """The learning rate of this step, a float32 scalar tensor."""
        return self.once("rate", self._rate)

    @property
    def number(self) -> Any:
        """The number of this step, counted from 1, as float32."""
        return self.once("number", lambda: tf.cast(self.iterations.read_value() + 1, tf.float32))

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """The tensor that `make` adds, made once per step."""
        if key not in self._read:
            self._read[key] = make()
        return self._read[key]

    def slot(self, variable: Any, name: str, initial: float = 0.0) -> Any:
        """The variable's companion `name`, of its shape and type."""
        return root_variable(f"{self.scope}/{bare_name(variable)}/{name}", variable.shape, variable.dtype, initial)

    def _rate(self) -> Any:
        given = self.optimizer.learning_rate
        if "learning_rate" in self._variables:
            rate = self.hyper("learning_rate")
        else:
            rate = tf.cast(call_rate(given, self.iterations), tf.float32)
        if self.optimizer.decay:
            rate = rate / (1.0 + self.hyper("decay") * tf.cast(self.iterations.read_value(), tf.float32))
        return rate


def call_rate(rate: Rate, iterations: Any) -> Any:
    """The value of a learning rate that is a tensor, or a callable of nothing or of the step."""
    if not callable(rate):
        return rate
    if isinstance(rate, tf.keras.optimizers.schedules.LearningRateSchedule):
        return rate(iterations.read_value())
    try:
        inspect.signature(rate).bind()
    except TypeError:
        return rate(iterations.read_value())
    return rate()


def gradients_of(loss: Any, variables: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pairs of gradient and variable, for the variables that the loss depends on; rows of sparse ones are all
    different; those of all replicas together.

    Raises:
        ValueError: there is no variable, or the loss depends on none of them.
    """
    plain = [variable.value if _is_keras(variable) else variable for variable in variables]
    if not plain:
        raise ValueError("There are no variables to train. Pass trainable_variables=[…] or make variables in model_fn.")
    pairs = [(g, v) for g, v in zip(tf.gradients(loss, plain), plain, strict=True) if g is not None]
    if not pairs:
        names = [bare_name(v) for v in plain]
        raise ValueError(f"The loss depends on none of the variables {names}; compute it from logits made with them.")
    strategy = current()
    if strategy is not None:
        reduced = strategy.reduced_gradients([_summed(g) for g, _ in pairs])
        pairs = [(g, v) for g, (_, v) in zip(reduced, pairs, strict=True)]
    return [(_summed(g), v) for g, v in pairs]


def _free_scope(wanted: str) -> str:
    """`wanted`, or `wanted_1` … when another optimizer of this graph has it already."""
    taken = tf.compat.v1.get_collection_ref("optimizer_scopes")
    scope, number = wanted, 0
    while scope in taken:
        number += 1
        scope = f"{wanted}_{number}"
    taken.append(scope)
    return scope


def _summed(gradient: Any) -> Any:
    """The gradient with the rows that came up many times in the batch summed: the sparse kernels want each once."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, position = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(indices))
    return tf.IndexedSlices(values, indices, gradient.dense_shape)


def _is_keras(variable: Any) -> bool:
    return isinstance(variable, tf.keras.Variable)
