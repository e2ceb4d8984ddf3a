"""What programs share: data, a model that can be computed by hand, and hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

X = np.arange(8, dtype=np.float32) / 4
Y = 2 * X - 1
#: Nothing is written that no program looks at.
QUIET = {
    "tf_random_seed": 1, "save_summary_steps": None, "log_step_count_steps": None, "checkpoint_save_graph_def": False,
}  # fmt: skip
OLD = hasattr(tf, "estimator") and tf.__version__.startswith("2.15")


def rows(batch: int = 4, epochs: int | None = None) -> Callable[[], Any]:
    """An input function: feature `x`, label 2x - 1."""
    return lambda: tf.data.Dataset.from_tensor_slices(({"x": X}, Y)).repeat(epochs).batch(batch)


def once(features: Any, labels: Any = None, batch: int | None = None) -> Callable[[], Any]:
    """An input function of the given arrays, all in one batch, or in batches of `batch`, for one epoch."""
    size = batch or len(tf.nest.flatten(features)[0])
    data = features if labels is None else (features, labels)
    return lambda: tf.data.Dataset.from_tensor_slices(data).batch(size)


def line(features: Any) -> tuple[Any, Any, Any]:
    """w·x + b with w = b = 0 at the start; returns it, w and b."""
    x = features["x"] if isinstance(features, dict) else features
    w = v1.get_variable("w", [], initializer=v1.zeros_initializer())
    b = v1.get_variable("b", [], initializer=v1.zeros_initializer())
    tf.identity(w, name="w_value")
    tf.identity(b, name="b_value")
    return w * tf.cast(x, tf.float32) + b, w, b


def line_model(est: Any, optimizer: Any = None, **more: Any) -> Callable[..., Any]:
    """A model_fn of `line` with squared error and gradient descent of rate 0.1.

    Args:
        est: the namespace of `tf.estimator`.
        optimizer: makes another `tf.compat.v1.train` optimizer.
        more: mode to a function of (predicted, labels, loss, w, b) that gives further fields of the specification.
    """

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        predicted, w, b = line(features)
        fields: dict[str, Any] = {"predictions": {"y": predicted}}
        loss = None
        if mode != "infer":
            loss = fields["loss"] = tf.reduce_mean((predicted - tf.cast(labels, tf.float32)) ** 2)
        if mode == "train":
            made = (optimizer or (lambda: v1.train.GradientDescentOptimizer(0.1)))()
            fields["train_op"] = made.minimize(loss, global_step=v1.train.get_global_step())
        if mode in more:
            fields.update(more[mode](predicted, labels, loss, w, b))
        return est.EstimatorSpec(mode, **fields)

    return model_fn


def make(est: Any, directory: str, model_fn: Any = None, config: Any = None, **arguments: Any) -> Any:
    """An Estimator of `line_model`, or of another model_fn, that writes little beside its checkpoints."""
    config = {**QUIET, **(config or {})}
    return est.Estimator(model_fn or line_model(est), directory, est.RunConfig(**config), **arguments)


def variables(estimator: Any) -> dict[str, Any]:
    """The values of the latest checkpoint by name."""
    return {name: estimator.get_variable_value(name) for name in estimator.get_variable_names()}


def trained(estimator: Any, input_fn: Any, steps: int = 2, evaluate: Any = None, **more: Any) -> dict[str, Any]:
    """Trains and evaluates; all values."""
    estimator.train(input_fn, steps=steps, **more)
    return {"variables": variables(estimator), "metrics": estimator.evaluate(evaluate or input_fn, steps=1)}


class FixedStart(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
    """Gives each trainable variable values that depend on its shape alone, so that no random numbers play a role."""

    def begin(self) -> None:
        self._assignments = []
        for variable in v1.trainable_variables():
            size = int(np.prod(variable.shape))
            values = (np.arange(size, dtype=np.float32) % 7 - 3).reshape(variable.shape) / 8
            self._assignments.append(v1.assign(variable, values))

    def after_create_session(self, session: Any, coord: Any) -> None:
        session.run(self._assignments)


class Notes(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
    """Notes the calls of a hook in a list."""

    def __init__(self, calls: list[Any], name: str = "", fetch: Any = None, stop_at: int | None = None) -> None:
        self.calls, self.name, self.fetch, self.stop_at, self.count = calls, name, fetch, stop_at, 0

    def begin(self) -> None:
        self.calls.append(f"{self.name}begin")

    def after_create_session(self, session: Any, coord: Any) -> None:
        self.calls.append(f"{self.name}session")

    def before_run(self, run_context: Any) -> Any:
        return None if self.fetch is None else v1.train.SessionRunArgs(self.fetch())

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.count += 1
        self.calls.append(f"{self.name}run" if self.fetch is None else run_values.results)
        if self.count == self.stop_at:
            run_context.request_stop()

    def end(self, session: Any) -> None:
        self.calls.append(f"{self.name}end")


def sgd(rate: float = 0.1, **arguments: Any) -> Any:
    """Keras' gradient descent of the kind that an Estimator of the TensorFlow at hand takes."""
    return (tf.keras.optimizers.legacy if OLD else tf.keras.optimizers).SGD(rate, **arguments)
