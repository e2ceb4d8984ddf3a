"""Parameters of a model_fn: which of them it has, the call, and the batch split into features and labels."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import tensorflow as tf

from .estimator_spec import EstimatorSpec
from .keys import ModeKeys

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONAL = ("mode", "params", "config", "model_dir")


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters of a function, partial or callable object that may be given by keyword."""
    target = function.func if isinstance(function, functools.partial) else function
    bound = set(function.keywords) if isinstance(function, functools.partial) else set()
    taken = len(function.args) if isinstance(function, functools.partial) else 0
    kinds = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    names = [p.name for p in inspect.signature(target).parameters.values() if p.kind in kinds]
    return tuple(n for n in names[taken:] if n not in bound or n in _OPTIONAL)


def check_model_fn(model_fn: Any, params: Any) -> None:
    """Checks the parameters of a model_fn.

    Raises:
        ValueError: model_fn is missing, lacks `features`, has unknown arguments, or none for the `params` given.
    """
    if model_fn is None:
        raise ValueError("model_fn must be given to Estimator.")
    if not callable(model_fn):
        raise ValueError(f"model_fn must be callable, not {model_fn!r}.")
    names = parameters_of(model_fn)
    if "features" not in names:
        raise ValueError(f"model_fn must have a parameter `features`, it has {list(names)}.")
    if params is not None and "params" not in names:
        raise ValueError(f"model_fn does not have a parameter `params`, but params were given: it has {list(names)}.")
    unknown = [n for n in names if n not in {"features", "labels", *_OPTIONAL, "self"}]
    if unknown:
        raise ValueError(
            f"model_fn has parameters {unknown}; it may have features, labels, mode, params, config and model_dir."
        )


def call_model_fn(model_fn: Callable[..., Any], features: Any, labels: Any, offered: dict[str, Any]) -> EstimatorSpec:
    """Calls `model_fn` with those of the `offered` arguments (mode, params, config, model_dir) that it has.

    Raises:
        ValueError: labels were given but model_fn takes none, or it returned no EstimatorSpec.
    """
    names = parameters_of(model_fn)
    arguments = {name: value for name, value in offered.items() if name in names}
    if "labels" in names:
        arguments["labels"] = labels
    elif labels is not None:
        raise ValueError("model_fn does not take labels, but input_fn returns labels.")
    spec = model_fn(features=features, **arguments)
    if not isinstance(spec, EstimatorSpec):
        raise ValueError(f"model_fn must return an EstimatorSpec, it returned {type(spec).__name__}.")
    if spec.mode != offered["mode"]:
        raise ValueError(f"model_fn was called with mode {offered['mode']!r} but returned a spec for {spec.mode!r}.")
    return spec


def split_batch(batch: Any, mode: str) -> tuple[Any, Any]:
    """Features and labels of what an `input_fn` gave; in PREDICT mode a pair's first part is taken.

    Raises:
        ValueError: a tuple or list of another length than two.
    """
    if isinstance(batch, list | tuple) and not hasattr(batch, "_fields"):
        if len(batch) != 2:
            raise ValueError(
                f"input_fn must give features or a (features, labels) tuple; it gave {type(batch).__name__} "
                f"of {len(batch)} parts."
            )
        return (batch[0], None) if mode == ModeKeys.PREDICT else (batch[0], batch[1])
    return batch, None


def plain_shapes(function: Function) -> Function:
    """Lets `function`, code of the engine, see shapes of plain integers after `tf.compat.v1.disable_v2_behavior()`.

    TensorFlow then gives `Dimension` objects, which a model_fn of the user's own continues to see.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not isinstance(tf.TensorShape([1])[0], tf.compat.v1.Dimension):
            return function(*args, **kwargs)
        tf.compat.v1.enable_v2_tensorshape()
        try:
            return function(*args, **kwargs)
        finally:
            tf.compat.v1.disable_v2_tensorshape()

    return cast(Function, call)
