"""Recurrent layers over sequence columns, and logits over their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..feature_column import DenseInput, SequenceFeatures, concatenate_context
from ..feature_column.column_state import model_variable
from ..recurrent import gru, lstm, simple_rnn
from ..recurrent.cells import Cell

v1 = tf.compat.v1
_SCOPE = "rnn_model"
_COMPILE_FROM_STEP = 50
_COMPILE_FROM_TIME = 16
_KERNELS: dict[str, tuple[Callable[..., Any], int]] = {
    "simple_rnn": (simple_rnn, 1),
    "gru": (gru, 3),
    "lstm": (lstm, 4),
}


class RecurrentNetwork:
    """Layers `rnn_model/rnn/…` and `rnn_model/logits` over the columns of `sequence_features` and `dense_features`.

    Args:
        units: width of the logits.
        cells: standard cells, or a function that makes the user's own.
        sequence_feature_columns, context_feature_columns, return_sequences: see `RNNEstimator`.
    """

    def __init__(
        self,
        units: int,
        cells: Sequence[Cell] | Callable[[], Any],
        sequence_feature_columns: Any,
        context_feature_columns: Any,
        return_sequences: bool,
    ) -> None:
        self._units = units
        self._cells = cells
        self._sequence = SequenceFeatures(sequence_feature_columns, name="sequence_features")
        self._context = DenseInput(context_feature_columns, name="dense_features") if context_feature_columns else None
        self._return_sequences = return_sequences
        self._variables: list[Any] = []

    @property
    def trainable_variables(self) -> list[Any]:
        """Variables of the last call."""
        context = self._context.trainable_variables if self._context else []
        return [*self._sequence.trainable_variables, *context, *self._variables]

    def __call__(self, features: Mapping[str, Any], training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits `[batch, units]` (`[batch, time, units]` with return_sequences) and the mask of steps, bool
        `[batch, time]`."""
        self._variables = []
        fast = not callable(self._cells)
        inputs, lengths = self._sequence.time_major(features) if fast else self._sequence(features)
        if training:
            with v1.name_scope(None):
                v1.summary.histogram("sequence_length", lengths)
        if self._context:
            context = self._context(features)
            inputs = _context_first(context, inputs) if fast else concatenate_context(context, inputs)
        time = tf.shape(inputs)[0 if fast else 1]
        mask = tf.sequence_mask(lengths, time)
        if not fast:
            return self._logits(self._keras_outputs(inputs, mask, training)), mask
        outputs = self._fast_outputs(inputs, tf.cast(lengths, tf.int32), _worth_compiling(time) if training else None)
        return self._logits(outputs), mask

    def _fast_outputs(self, net: Any, lengths: Any, compiled: Any) -> tf.Tensor:
        assert not callable(self._cells)
        for cell in self._cells:
            run, gates = _KERNELS[cell.kind]
            net = run(net, *self._weights(cell, net.shape[-1], gates), compiled)
        # A step behind a row's end repeats the row's last output; a row without steps gives zeros.
        last = tf.maximum(lengths - 1, 0)
        some = tf.cast(lengths > 0, tf.float32)[:, None]
        rows = tf.range(tf.shape(net)[1])
        if not self._return_sequences:
            return tf.gather_nd(net, tf.stack([last, rows], axis=1)) * some
        steps = tf.minimum(tf.range(tf.shape(net)[0])[None, :], last[:, None])
        wide_rows = tf.broadcast_to(rows[:, None], tf.shape(steps))
        return tf.gather_nd(net, tf.stack([steps, wide_rows], axis=2)) * some[:, None]

    def _weights(self, cell: Cell, width: int, gates: int) -> list[Any]:
        scope = f"{_SCOPE}/{cell.scope}"
        bias_shape = [2, gates * cell.units] if cell.kind == "gru" else [gates * cell.units]
        bias = _forget_gate_open(cell.units) if cell.kind == "lstm" else v1.zeros_initializer()
        return [
            self._variable(f"{scope}/kernel", [width, gates * cell.units], v1.glorot_uniform_initializer()),
            self._variable(f"{scope}/recurrent_kernel", [cell.units, gates * cell.units], v1.orthogonal_initializer()),
            self._variable(f"{scope}/bias", bias_shape, bias),
        ]

    def _keras_outputs(self, inputs: Any, mask: Any, training: bool) -> tf.Tensor:
        assert callable(self._cells)
        with tf.keras.name_scope(_SCOPE):
            layer = tf.keras.layers.RNN(self._cells(), return_sequences=self._return_sequences, name="rnn")
            outputs = layer(inputs, mask=mask, training=training)
        self._variables.extend(variable.value for variable in layer.trainable_variables)
        return outputs

    def _logits(self, outputs: Any) -> tf.Tensor:
        width = outputs.shape[-1]
        kernel = self._variable(f"{_SCOPE}/logits/kernel", [width, self._units], v1.glorot_uniform_initializer())
        bias = self._variable(f"{_SCOPE}/logits/bias", [self._units], v1.zeros_initializer())
        if not self._return_sequences:
            return tf.nn.bias_add(tf.matmul(outputs, kernel), bias)
        shape = tf.shape(outputs)
        flat = tf.nn.bias_add(tf.matmul(tf.reshape(outputs, [-1, width]), kernel), bias)
        return tf.reshape(flat, [shape[0], shape[1], self._units])

    def _variable(self, name: str, shape: Sequence[int], initializer: Any) -> Any:
        self._variables.append(model_variable(name, shape, initializer))
        return self._variables[-1]


def _context_first(context: Any, sequence: Any) -> tf.Tensor:
    """`context` `[batch, c]` beside every step of `sequence` `[time, batch, s]`: `[time, batch, s + c]`."""
    repeated = tf.tile(tf.expand_dims(context, 0), [tf.shape(sequence)[0], 1, 1])
    return tf.concat([sequence, repeated], axis=2)


def _worth_compiling(time: Any) -> tf.Tensor:
    """Whether to run compiled loops: for long sequences, in trainings that have gone on for a while, because compiling
    takes a second or more for each size.

    Only step and length decide, so that a resumed run computes each step as the unbroken one would have.
    """
    step = tf.cast(v1.train.get_or_create_global_step(), tf.int64)
    return (step >= _COMPILE_FROM_STEP) & (time >= _COMPILE_FROM_TIME)


def _forget_gate_open(units: int) -> Any:
    """A bias of ones for the forget gate (the second of four) and zeros for the others."""
    return v1.constant_initializer([0.0] * units + [1.0] * units + [0.0] * 2 * units)
