"""From what a user gives as `optimizer` to an object with `minimize(loss, variables, iterations)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .base import TRAINING_SCOPE, GraphOptimizer
from .ftrl import Ftrl
from .keras_optimizer import KerasOptimizer, call_without_variables, from_keras
from .nadam import Nadam
from .rmsprop import RMSprop
from .sgd import SGD

CLASSES: dict[str, type[GraphOptimizer]] = {
    "Adadelta": Adadelta,
    "Adagrad": Adagrad,
    "Adam": Adam,
    "Adamax": Adamax,
    "Ftrl": Ftrl,
    "Nadam": Nadam,
    "RMSProp": RMSprop,
    "RMSprop": RMSprop,
    "SGD": SGD,
    "GradientDescent": SGD,
}


def optimizer_class(name: str) -> type[GraphOptimizer]:
    """Our class for an optimizer's old or new name, with or without `Optimizer` at its end.

    Raises:
        ValueError: there is no such optimizer.
    """
    try:
        return CLASSES[name.removesuffix("Optimizer")]
    except KeyError:
        raise ValueError(f"Unsupported optimizer name: {name!r}. Supported names are: {sorted(CLASSES)}.") from None


def resolve_optimizer(optimizer: Any, learning_rate: float | None = None, **common: Any) -> Any:
    """An object with our `minimize` for any documented form of optimizer.

    Args:
        optimizer: a name, a `tf.keras.optimizers` or `tf.compat.v1.train` optimizer, one of ours, or a callable that
            gives one of those (called in the current graph).
        learning_rate: for a name; None is the optimizer's own default.
        common: further arguments for an optimizer given by name, such as `clipnorm`.

    Raises:
        ValueError: an unknown name, or an object of another kind.
    """
    if isinstance(optimizer, str):
        rate = {} if learning_rate is None else {"learning_rate": learning_rate}
        return optimizer_class(optimizer)(**{**rate, **common})
    if isinstance(optimizer, (GraphOptimizer, KerasOptimizer, V1Optimizer)):
        return optimizer
    if isinstance(optimizer, tf.keras.optimizers.Optimizer):
        return from_keras(optimizer)
    if isinstance(optimizer, tf.compat.v1.train.Optimizer):
        return V1Optimizer(optimizer)
    if callable(optimizer):
        made = call_without_variables(optimizer)
        if not callable(made):
            return resolve_optimizer(made)
        optimizer = made
    raise ValueError(
        f"The given object is not an optimizer: {optimizer!r}. Pass a name such as 'Adam', a tf.keras.optimizers or "
        "tf.compat.v1.train optimizer, or a function that returns one."
    )


class V1Optimizer:
    """A `tf.compat.v1.train.Optimizer`, with its own slot names."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def minimize(
        self, loss: Any, variables: Sequence[Any], iterations: Any = None, scope: str = TRAINING_SCOPE
    ) -> tf.Operation:
        """As `GraphOptimizer.minimize`; the scope does not matter."""
        plain = [v.value if isinstance(v, tf.keras.Variable) else v for v in variables]
        return self._optimizer.minimize(loss, global_step=iterations, var_list=plain)
