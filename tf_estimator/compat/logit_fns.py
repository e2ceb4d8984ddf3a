"""Functions from features to logits, as `tf.compat.v1.estimator.experimental` made and called them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from ..canned.network import Network
from ..feature_column import LinearModel


def call_logit_fn(
    logit_fn: Callable[..., Any], features: Mapping[str, Any], mode: str, params: Any, config: Any
) -> Any:
    """Calls `logit_fn` with those of the arguments that it has.

    Args:
        logit_fn: takes `features` and, if it has such parameters, `mode`, `params`, `config`.
        features, mode, params, config: what a model_fn was called with.

    Returns:
        the logits: a tensor, or a dict of name to tensor.

    Raises:
        ValueError: it returns something else.
    """
    offered = {"mode": mode, "params": params, "config": config}
    known = set(inspect.signature(logit_fn).parameters)
    logits = logit_fn(features=features, **{name: value for name, value in offered.items() if name in known})
    tensors = list(logits.values()) if isinstance(logits, dict) else [logits]
    if not tensors or not all(tf.is_tensor(tensor) for tensor in tensors):
        raise ValueError(
            f"logit_fn should return a Tensor or a dictionary mapping strings to Tensors. logit_fn returned: {logits}"
        )
    return logits


def dnn_logit_fn_builder(
    units: int,
    hidden_units: Iterable[int],
    feature_columns: Any,
    activation_fn: Callable[[Any], Any] | None,
    dropout: float | None,
    input_layer_partitioner: Any,
    batch_norm: bool,
) -> Callable[..., tf.Tensor]:
    """A `logit_fn(features, mode)` of a fully connected network.

    Its variables are `hiddenlayer_<i>/…`, `logits/…` and `input_from_feature_columns/input_layer/…` below the variable
    scope in which it is called; `tf.compat.v1.trainable_variables()` holds them.

    Args:
        units: width of the logits.
        input_layer_partitioner: partitioner of the columns' variables, or None.
        hidden_units, feature_columns, activation_fn, dropout, batch_norm: as in `est.DNNEstimator`. With batch_norm,
            the updates of the moving averages are in the collection `UPDATE_OPS`.

    Raises:
        ValueError: units is no integer.
    """
    if not isinstance(units, int):
        raise ValueError(f"units must be an int. Given type: {type(units)}.")
    widths = list(hidden_units)

    def logit_fn(features: Mapping[str, Any], mode: str) -> tf.Tensor:
        network = Network(
            units,
            widths,
            feature_columns,
            activation_fn,
            dropout,
            batch_norm,
            scope=_scope(),
            input_layer_partitioner=input_layer_partitioner,
        )
        logits = network(features, mode)
        for operation in network.update_ops:
            tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.UPDATE_OPS, operation)
        return logits

    return logit_fn


def linear_logit_fn_builder(units: int, feature_columns: Any, sparse_combiner: str = "sum") -> Callable[..., tf.Tensor]:
    """A `logit_fn(features)` of a linear model.

    Its variables are `linear_model/<column>/weights` and `linear_model/bias_weights` below the variable scope in which
    it is called.

    Args:
        units, feature_columns, sparse_combiner: as in `est.layers.LinearModel`.
    """

    def logit_fn(features: Mapping[str, Any]) -> tf.Tensor:
        name = f"{_scope()}linear_model"
        return LinearModel(feature_columns, units, sparse_combiner, name=name)(features)

    return logit_fn


def _scope() -> str:
    """The present variable scope, with a slash at its end unless it is the outermost."""
    name = tf.compat.v1.get_variable_scope().name
    return f"{name}/" if name else ""
