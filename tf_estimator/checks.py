"""Checks of what the methods of `Estimator` are given."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from .run_config import RunConfig

v1 = tf.compat.v1


def checked_config(config: Any) -> RunConfig:
    """`config`, or a default one for None."""
    if config is None:
        return RunConfig()
    if not isinstance(config, RunConfig):
        raise ValueError(f"config must be an est.RunConfig, not {type(config).__name__}.")
    return config


def with_model_dir(config: RunConfig | None, model_dir: Any) -> RunConfig:
    config = checked_config(config)
    if model_dir is not None:
        model_dir = os.fspath(model_dir)
        if config.model_dir is not None and config.model_dir != model_dir:
            raise ValueError(
                f"model_dir is {model_dir!r} in the constructor but {config.model_dir!r} in the RunConfig; give one or "
                "the same."
            )
    path = model_dir or config.model_dir or tempfile.mkdtemp(prefix="estimator-")
    return config.replace(model_dir=path)


def whole_steps(name: str, value: Any) -> int | None:
    """A number of steps as an int, None for no limit.

    `rows / batch_size` is a float: the step that reaches it is the last, so it is rounded up.

    Raises:
        ValueError: it is not above zero.
        TypeError: it is no number.
    """
    if value is None:
        return None
    if isinstance(value, str | bytes | bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number, not {value!r}.")
    if not value > 0:
        raise ValueError(f"Must specify {name} > 0, given: {value}.")
    return None if math.isinf(value) else math.ceil(value)


def checked_hooks(hooks: Iterable[Any] | None) -> list[Any]:
    checked = list(hooks or ())
    for hook in checked:
        if not isinstance(hook, v1.train.SessionRunHook):
            raise TypeError(f"All hooks must be tf.compat.v1.train.SessionRunHook instances, given: {hook!r}.")
    return checked


def checked_listeners(listeners: Iterable[Any] | None) -> list[Any]:
    checked = list(listeners or ())
    for listener in checked:
        if not isinstance(listener, v1.train.CheckpointSaverListener):
            raise TypeError(
                f"saving_listeners must be tf.compat.v1.train.CheckpointSaverListener instances, given: {listener!r}."
            )
    return checked
