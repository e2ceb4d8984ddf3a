"""GRU in the form of cuDNN and Keras ("reset after"): the reset gate applies to the product with the state."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .loop import Factors, run_cell


def gru(inputs: Any, kernel: Any, recurrent_kernel: Any, bias: Any, compiled: Any = None) -> tf.Tensor:
    """States after every step.

    `z, r, c` from left to right in the kernels: `z = σ(xW_z + b_z + hU_z + d_z)`, `r` alike,
    `c = tanh(xW_c + b_c + r (hU_c + d_c))`, `h ← z h + (1 - z) c`.

    Args:
        inputs: `[time, batch, features]`.
        kernel: `[features, 3 units]`.
        recurrent_kernel: `[units, 3 units]`.
        bias: `[2, 3 units]`, of the input and of the state.
        compiled: see `run_cell`.

    Returns:
        `[time, batch, units]`.
    """
    units = recurrent_kernel.shape[0]

    def forward(x: Any, h: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
        product = tf.nn.bias_add(tf.matmul(h, kernel), bias)
        gates = tf.sigmoid(x[:, : 2 * units] + product[:, : 2 * units])
        z, r = gates[:, :units], gates[:, units:]
        inner = product[:, 2 * units :]
        c = tf.tanh(x[:, 2 * units :] + r * inner)
        return c + z * (h - c), tf.concat([gates, c, inner], axis=1)

    def backward(before: Any, kept: Any) -> Factors:
        z, r, c, inner = tf.split(kept, 4, axis=2)
        to_c = (1.0 - z) * (1.0 - c * c)
        to_z = z * (1.0 - z) * (before - c)  # σ' = σ (1 - σ)
        to_r = to_c * inner * r * (1.0 - r)
        return Factors(direct=z, products=[to_z, to_r, to_c * r], inputs=[to_z, to_r, to_c])

    projected = project(inputs, kernel, bias[0])
    return run_cell(projected, recurrent_kernel, bias[1], forward, backward, compiled)


def project(inputs: Any, kernel: Any, bias: Any) -> tf.Tensor:
    """`inputs @ kernel + bias` for all steps in one product."""
    shape = tf.shape(inputs)
    flat = tf.nn.bias_add(tf.matmul(tf.reshape(inputs, [-1, kernel.shape[0]]), kernel), bias)
    projected = tf.reshape(flat, [shape[0], shape[1], kernel.shape[1]])
    projected.set_shape([inputs.shape[0], inputs.shape[1], kernel.shape[1]])
    return projected
