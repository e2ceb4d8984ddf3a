"""A fully connected network over dense feature columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..feature_column import DenseInput
from ..feature_column.column_state import model_variable, parts_of
from ..graph.naming import operation_scope_name
from ..keys import ModeKeys

v1 = tf.compat.v1
_BATCH_NORM_MOMENTUM = 0.999
_BATCH_NORM_EPSILON = 0.001


class Network:
    """Layers `dnn/hiddenlayer_<i>` and `dnn/logits` over `dnn/input_from_feature_columns/input_layer`.

    A hidden layer is a product, the activation, then dropout, then batch normalization.

    Args:
        units: width of the logits.
        hidden_units, feature_columns, activation_fn, dropout, batch_norm: see `DNNClassifier`.
        config: a `RunConfig`: seed of dropout, and precision of the products while training.
        partitioner: of the layers' variables, a `tf.compat.v1` partitioner.
        make_input: makes the layer of the columns, with `trainable_variables`.
        scope: before the names of its variables, with a slash at its end; the canned estimators' if not given.
        input_layer_partitioner: of the columns' variables, where `make_input` is not given.
    """

    def __init__(
        self,
        units: int,
        hidden_units: Iterable[int],
        feature_columns: Any,
        activation_fn: Callable[[Any], Any] | None = None,
        dropout: float | None = None,
        batch_norm: bool = False,
        config: Any = None,
        partitioner: Any = None,
        make_input: Callable[[Any], Any] | None = None,
        scope: str = "dnn/",
        input_layer_partitioner: Any = None,
    ) -> None:
        self._units = units
        self._hidden_units = list(hidden_units)
        self._partitioner = partitioner
        self._scope = scope
        self._input = (
            make_input(feature_columns)
            if make_input is not None
            else _NetworkInput(
                feature_columns,
                name=f"{scope}input_from_feature_columns/input_layer",
                partitioner=input_layer_partitioner,
            )
        )
        self._activation = activation_fn or tf.nn.relu
        self._dropout = dropout
        self._batch_norm = batch_norm
        self._seed = getattr(config, "tf_random_seed", None) or 0
        self._mixed = getattr(config, "mixed_precision", None) == "bfloat16"
        self._training = False
        self._variables: list[Any] = []
        self.update_ops: list[Any] = []

    @property
    def trainable_variables(self) -> list[Any]:
        """Variables of the last call."""
        return [*self._input.trainable_variables, *self._variables]

    def __call__(self, features: Mapping[str, Any], mode: str) -> tf.Tensor:
        """Logits `[batch, units]`; `update_ops` then holds what moves the batch norm's averages."""
        self._training = training = mode == ModeKeys.TRAIN
        self._variables, self.update_ops = [], []
        net = self._input(features)
        for number, width in enumerate(self._hidden_units):
            scope = f"{self._scope}hiddenlayer_{number}"
            net = self._activation(self._dense(net, width, scope))
            if self._dropout and training:
                net = self._drop(net, number)
            if self._batch_norm:
                net = self._normalize(net, f"{scope}/batchnorm_{number}", training)
            self._summarize(net, scope)
        scope = f"{self._scope}logits"
        logits = self._dense(net, self._units, scope)
        self._summarize(logits, scope)
        return logits

    def _summarize(self, net: Any, scope: str) -> None:
        if self._training:  # Nobody writes summaries in the other modes, where they only cost time to build.
            add_layer_summary(net, scope)

    def _variable(self, name: str, shape: Sequence[int], initializer: Any, trainable: bool = True) -> Any:
        variable = model_variable(name, shape, initializer, trainable=trainable, partitioner=self._partitioner)
        if trainable:
            self._variables.extend(parts_of(variable))
        return variable

    def _dense(self, net: Any, width: int, scope: str) -> tf.Tensor:
        kernel = self._variable(f"{scope}/kernel", [net.shape[-1], width], v1.glorot_uniform_initializer())
        bias = self._variable(f"{scope}/bias", [width], v1.zeros_initializer())
        return tf.nn.bias_add(self._product(net, kernel), bias)

    def _product(self, net: Any, kernel: Any) -> tf.Tensor:
        if not (self._mixed and self._training):
            return tf.matmul(net, kernel)
        product = tf.matmul(tf.cast(net, tf.bfloat16), tf.cast(kernel, tf.bfloat16))
        return tf.cast(product, tf.float32)

    def _drop(self, net: Any, number: int) -> tf.Tensor:
        # The mask depends on seed, step and layer only, so that a resumed run draws what the unbroken one would have.
        step = tf.cast(v1.train.get_or_create_global_step(), tf.int64)
        key = tf.constant(self._seed * 1009 + number, tf.int64)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        if tf.is_tensor(replica):  # Replicas draw masks of their own.
            key += tf.cast(replica, tf.int64) << 40
        seed = tf.stack([key, step])
        return tf.nn.experimental.stateless_dropout(net, rate=self._dropout, seed=seed)

    def _normalize(self, net: Any, scope: str, training: bool) -> tf.Tensor:
        width = [net.shape[-1]]
        gamma = self._variable(f"{scope}/gamma", width, v1.ones_initializer())
        beta = self._variable(f"{scope}/beta", width, v1.zeros_initializer())
        moving_mean = self._variable(f"{scope}/moving_mean", width, v1.zeros_initializer(), trainable=False)
        moving_variance = self._variable(f"{scope}/moving_variance", width, v1.ones_initializer(), trainable=False)
        if not training:
            return tf.nn.batch_normalization(net, moving_mean, moving_variance, beta, gamma, _BATCH_NORM_EPSILON)
        mean, variance = tf.nn.moments(net, axes=[0])
        for moving, now in ((moving_mean, mean), (moving_variance, variance)):
            change = (moving.read_value() - now) * (1.0 - _BATCH_NORM_MOMENTUM)
            self.update_ops.append(moving.assign_sub(change, read_value=False))
        return tf.nn.batch_normalization(net, mean, variance, beta, gamma, _BATCH_NORM_EPSILON)


class _NetworkInput(DenseInput):
    """The one layer in whose variables the old library kept `/` and `>` of a column's name."""

    _scope_name = staticmethod(operation_scope_name)


def add_layer_summary(values: Any, tag: str) -> None:
    """Summaries of a layer's output: share of zeros, and a histogram."""
    with v1.name_scope(None):
        v1.summary.scalar(f"{tag}/fraction_of_zero_values", zero_fraction(values))
        v1.summary.histogram(f"{tag}/activation", values)


def zero_fraction(values: Any) -> tf.Tensor:
    """The share of zeros, float32 scalar, as `tf.nn.zero_fraction` gives it.

    That one adds a conditional of some twenty operations to choose the size of its integers: 5 ms for each layer
    before the first step.
    """
    zeros = tf.reduce_sum(tf.cast(tf.equal(values, tf.zeros([], values.dtype)), tf.int64))
    return tf.cast(zeros, tf.float32) / tf.cast(tf.size(values, tf.int64), tf.float32)
