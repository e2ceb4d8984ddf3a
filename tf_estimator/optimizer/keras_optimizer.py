"""Keras 3 optimizers in our graphs.

The classes that the old library knew become our graph optimizers, with the old names and formulas. All others run
their own code. Keras' `apply` counts on `tf.function` to keep its reads and writes in order; in a graph of ours they
would race, so it is called inside one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from ..distribution.strategy import suspended
from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .base import TRAINING_SCOPE, GraphOptimizer, gradients_of
from .ftrl import Ftrl
from .nadam import Nadam
from .rmsprop import RMSprop
from .sgd import SGD

_KNOWN: dict[type, tuple[type[GraphOptimizer], tuple[str, ...]]] = {
    tf.keras.optimizers.Adadelta: (Adadelta, ("rho", "epsilon")),
    tf.keras.optimizers.Adagrad: (Adagrad, ("initial_accumulator_value", "epsilon")),
    tf.keras.optimizers.Adam: (Adam, ("beta_1", "beta_2", "epsilon", "amsgrad")),
    tf.keras.optimizers.Adamax: (Adamax, ("beta_1", "beta_2", "epsilon")),
    tf.keras.optimizers.Ftrl: (
        Ftrl,
        (
            "learning_rate_power",
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
            "beta",
        ),
    ),
    tf.keras.optimizers.Nadam: (Nadam, ("beta_1", "beta_2", "epsilon")),
    tf.keras.optimizers.RMSprop: (RMSprop, ("rho", "momentum", "epsilon", "centered")),
    tf.keras.optimizers.SGD: (SGD, ("momentum", "nesterov")),
}


def from_keras(optimizer: Any) -> Any:
    """An object with our `minimize` for a `tf.keras.optimizers.Optimizer`."""
    extras = (optimizer.weight_decay, optimizer.loss_scale_factor, optimizer.gradient_accumulation_steps)
    if type(optimizer) not in _KNOWN or optimizer.use_ema or any(extra is not None for extra in extras):
        return KerasOptimizer(optimizer)
    ours, attributes = _KNOWN[type(optimizer)]
    _forget_variables(optimizer)
    return ours(
        _learning_rate(optimizer),
        clipnorm=optimizer.clipnorm,
        clipvalue=optimizer.clipvalue,
        global_clipnorm=optimizer.global_clipnorm,
        **{name: getattr(optimizer, name) for name in attributes},
    )


class KerasOptimizer:
    """Runs a Keras optimizer's own code inside one `tf.function`; its variables have the names that Keras gives."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def minimize(
        self, loss: Any, variables: Sequence[Any], iterations: Any = None, scope: str = TRAINING_SCOPE
    ) -> tf.Operation:
        """As `GraphOptimizer.minimize`; raises `iterations` beside its own count, and does not use the scope."""
        pairs = gradients_of(loss, variables)
        gradients, plain = [g for g, _ in pairs], [v for _, v in pairs]
        optimizer = self._optimizer if _in_graph(optimizer_step(self._optimizer)) else self._copy()
        optimizer.build(plain)

        # tf.function would trace an IndexedSlices argument as a dense one; its parts are passed instead.
        def apply(*parts: Any) -> Any:
            given = tf.nest.pack_sequence_as(gradients, list(parts), expand_composites=True)
            # In a scope: one of Keras may not be the outermost when its class, and so its name, is private.
            with suspended(), tf.name_scope("apply"):
                optimizer.apply(given, plain)
            return optimizer_step(optimizer).read_value()

        applied = tf.function(apply, autograph=False)(*tf.nest.flatten(gradients, expand_composites=True))
        with tf.control_dependencies([applied]):
            return iterations.assign_add(1, read_value=False) if iterations is not None else tf.no_op()

    def _copy(self) -> Any:
        # An optimizer made outside the graph has eager variables, which no graph can use.
        config = outside_graph(self._optimizer.get_config)
        config["name"] = type(self._optimizer).__name__  # Keras counts its default names up, over the whole process
        rate = getattr(self._optimizer, "_learning_rate", None)
        if callable(rate) and not isinstance(rate, tf.keras.Variable):
            config["learning_rate"] = rate
        return type(self._optimizer).from_config(config)


def optimizer_step(optimizer: Any) -> Any:
    """The `tf.Variable` of a Keras optimizer's own step count."""
    return optimizer.iterations.value


def call_without_variables(make: Callable[[], Any]) -> Any:
    """Calls a user's optimizer function in the current graph, so that what it makes leaves no variable there.

    A learning rate that is a tensor, which Keras 3 refuses (`tf.compat.v1.train.exponential_decay` gives one), is
    accepted as Keras 2 did.
    """
    with tf.variable_creator_scope(_eager_creator), _tensor_learning_rates():
        return make()


def outside_graph(call: Callable[[], Any]) -> Any:
    """The result of `call` run eagerly, though the caller is building a graph (`tf.init_scope` stays in it)."""
    result: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(call())
        except BaseException as error:  # passed on to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


def _learning_rate(optimizer: Any) -> Any:
    rate = optimizer._learning_rate  # the public property would call a schedule
    if not isinstance(rate, tf.keras.Variable):
        return rate
    variable = rate.value
    if _in_graph(variable):
        return float(tf.get_static_value(variable.initial_value))
    return float(outside_graph(variable.numpy))


def _in_graph(variable: Any) -> bool:
    return bool(tf.is_symbolic_tensor(variable.handle))


def _forget_variables(optimizer: Any) -> None:
    """Keeps the step and rate that Keras made in this graph out of checkpoints: ours have other names."""
    keys = tf.compat.v1.GraphKeys
    graph = tf.compat.v1.get_default_graph()
    own = {id(variable.value) for variable in optimizer.variables}
    made_here = graph.get_collection_ref(keys.GLOBAL_VARIABLES)
    graph.get_collection_ref(keys.LOCAL_VARIABLES).extend(v for v in made_here if id(v) in own)
    made_here[:] = [variable for variable in made_here if id(variable) not in own]


def _eager_creator(next_creator: Any, **arguments: Any) -> tf.Variable:
    initial = arguments["initial_value"]
    value = tf.get_static_value(initial() if callable(initial) else initial)
    return outside_graph(lambda: tf.Variable(value, dtype=arguments.get("dtype"), trainable=False))


@contextlib.contextmanager
def _tensor_learning_rates() -> Iterator[None]:
    base = tf.keras.optimizers.Optimizer
    own = base.__dict__.get("__init__")
    original = base.__init__

    def accept(self: Any, learning_rate: Any, *args: Any, **kwargs: Any) -> None:
        symbolic = tf.is_tensor(learning_rate)
        original(self, (lambda: learning_rate) if symbolic else learning_rate, *args, **kwargs)

    base.__init__ = accept
    try:
        yield
    finally:
        if own is None:
            del base.__init__
        else:
            base.__init__ = own
