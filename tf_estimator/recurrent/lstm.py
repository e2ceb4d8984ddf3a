"""LSTM by TensorFlow's fused kernel for whole sequences."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def lstm(inputs: Any, kernel: Any, recurrent_kernel: Any, bias: Any, compiled: Any = None) -> tf.Tensor:
    """Outputs after every step.

    `i, f, c, o` from left to right in the kernels: `s ← σ(f) s + σ(i) tanh(c)`, `h = σ(o) tanh(s)`, with every gate
    `xW + hU + b`. The kernel is `BlockLSTM`; the gradient that TensorFlow registers for `BlockLSTMV2` swaps two gates.

    Args:
        inputs: `[time, batch, features]`.
        kernel: `[features, 4 units]`.
        recurrent_kernel: `[units, 4 units]`.
        bias: `[4 units]`.
        compiled: makes no difference here.

    Returns:
        `[time, batch, units]`.
    """
    units = recurrent_kernel.shape[0]
    batch = tf.shape(inputs)[1]
    zeros = tf.zeros([batch, units])
    no_peephole = tf.zeros([units])
    outputs = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(inputs)[0], tf.int64),
        x=inputs,
        cs_prev=zeros,
        h_prev=zeros,
        w=_gates_for_block(tf.concat([kernel, recurrent_kernel], axis=0)),
        wci=no_peephole,
        wcf=no_peephole,
        wco=no_peephole,
        b=_gates_for_block(bias),
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    return outputs.h


def _gates_for_block(weights: Any) -> Any:
    """From Keras' order of gates (i, f, c, o) to the kernel's (i, c, f, o)."""
    i, f, c, o = tf.split(weights, 4, axis=-1)
    return tf.concat([i, c, f, o], axis=-1)
