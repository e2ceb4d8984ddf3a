"""Optimizers as v1's canned estimators take them: those of `tf.compat.v1.train`, with v1's checkpoint names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from ...optimizer.keras_optimizer import call_without_variables
from ...optimizer.resolve import V1Optimizer

_train = tf.compat.v1.train
_NAMES: dict[str, Callable[[float], Any]] = {
    "Adagrad": _train.AdagradOptimizer,
    "Adam": _train.AdamOptimizer,
    "Ftrl": _train.FtrlOptimizer,
    "RMSProp": _train.RMSPropOptimizer,
    "SGD": _train.GradientDescentOptimizer,
}


class ScopedOptimizer(V1Optimizer):
    """A `tf.compat.v1.train.Optimizer` whose variables are named as in v1's canned estimators.

    Args:
        optimizer: the optimizer.
        variable_scope: scope in which it makes slots, empty for the outermost. The slots of a partitioned variable get
            names that depend on it: `dnn/logits/bias/t_0/Adagrad`.
        name_scope: scope of what is no slot, such as `beta1_power`.
    """

    def __init__(self, optimizer: Any, variable_scope: str, name_scope: str) -> None:
        super().__init__(optimizer)
        self._variable_scope, self._name_scope = variable_scope, name_scope

    def minimize(self, loss: Any, variables: Sequence[Any], iterations: Any = None, scope: str = "") -> tf.Operation:
        """As `GraphOptimizer.minimize`; the scope does not matter."""
        with _variable_scope(self._variable_scope), tf.name_scope(f"{self._name_scope}/"):
            return super().minimize(loss, variables, iterations)


def v1_optimizer(given: Any, learning_rate: float, part: str = "") -> Callable[[], ScopedOptimizer]:
    """A function that gives the optimizer for one graph.

    Args:
        given: a name, a `tf.compat.v1.train` optimizer, or a class or function that gives one when it is called.
        learning_rate: of an optimizer given by name.
        part: the model that it trains alone, "dnn" or "linear"; empty beside others.

    Raises:
        ValueError: an unknown name, or another object (also when the function is called).
    """
    if isinstance(given, str) and given not in _NAMES:
        raise ValueError(f"Unsupported optimizer name: {given}. Supported names are: {tuple(sorted(_NAMES))}.")
    if not isinstance(given, (str, _train.Optimizer)) and not callable(given):
        raise ValueError(_not_an_optimizer(given))

    def make() -> ScopedOptimizer:
        optimizer = given
        if isinstance(given, str):
            optimizer = _NAMES[given](learning_rate)
        elif callable(given):
            optimizer = call_without_variables(given)
        if not isinstance(optimizer, _train.Optimizer):
            raise ValueError(_not_an_optimizer(optimizer))
        return ScopedOptimizer(optimizer, part, f"{part}/head" if part else "head")

    return make


def _not_an_optimizer(given: Any) -> str:
    return (
        f"The given object is not an Optimizer instance. Given: {given}. Pass a tf.compat.v1.train optimizer, one of "
        f"the names {tuple(sorted(_NAMES))}, or a function that returns an optimizer; tf.keras.optimizers work with "
        "the estimators of tf.estimator (v2)."
    )


@contextlib.contextmanager
def _variable_scope(name: str) -> Iterator[None]:
    """The scope `name` below the outermost one, whatever the present one is."""
    root = tf.compat.v1.VariableScope(reuse=tf.compat.v1.AUTO_REUSE, use_resource=True)
    with tf.compat.v1.variable_scope(root, auxiliary_name_scope=False):
        if not name:
            yield
            return
        with tf.compat.v1.variable_scope(name, auxiliary_name_scope=False):
            yield
