"""Compilation of a Keras model, repeated in a graph: loss, metrics and weights for each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf


def compilation_of(model: Any) -> dict[str, Any]:
    """The arguments of `compile` that count here, optimizer left out; functions and objects as they were given."""
    given = dict(getattr(model, "_compile_config").config)  # noqa: B009  Keras has no public way to ask for them
    return {name: given.get(name) for name in ("loss", "loss_weights", "metrics", "weighted_metrics")}


def compile_again(model: Any, given: Mapping[str, Any], outputs: Sequence[str]) -> None:
    """Compiles a copy of the model. What was given for all of several outputs alike is given to each of them."""
    arguments = dict(given)
    if len(outputs) > 1:
        arguments["loss"] = _each(arguments["loss"], outputs)
        for name in ("metrics", "weighted_metrics"):
            arguments[name] = _each_metric(arguments[name], outputs)
        weights = arguments["loss_weights"]
        if isinstance(weights, list | tuple):
            arguments["loss_weights"] = dict(zip(outputs, weights, strict=True))
    model.compile(optimizer=None, **{name: _fresh(value) for name, value in arguments.items()})


def _each(loss: Any, outputs: Sequence[str]) -> Any:
    if isinstance(loss, list | tuple):
        return dict(zip(outputs, loss, strict=True))
    return loss if isinstance(loss, Mapping) else dict.fromkeys(outputs, loss)


def _each_metric(metrics: Any, outputs: Sequence[str]) -> Any:
    if metrics is None or isinstance(metrics, Mapping):
        return metrics
    if metrics and all(isinstance(metric, list | tuple) for metric in metrics):
        return dict(zip(outputs, metrics, strict=True))
    return {output: list(metrics) for output in outputs}


def _fresh(item: Any) -> Any:
    """New metric and loss objects, for they keep variables of one graph."""
    if isinstance(item, Mapping):
        return {key: _fresh(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_fresh(value) for value in item]
    if isinstance(item, tf.keras.metrics.Metric | tf.keras.losses.Loss):
        return type(item).from_config(item.get_config())
    return item
