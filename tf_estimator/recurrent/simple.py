"""The simple recurrent cell (Elman)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .gru import project
from .loop import Factors, run_cell


def simple_rnn(inputs: Any, kernel: Any, recurrent_kernel: Any, bias: Any, compiled: Any = None) -> tf.Tensor:
    """States after every step: `h ← tanh(xW + b + hU)`.

    Args:
        inputs: `[time, batch, features]`.
        kernel: `[features, units]`.
        recurrent_kernel: `[units, units]`.
        bias: `[units]`.
        compiled: see `run_cell`.

    Returns:
        `[time, batch, units]`.
    """
    units = recurrent_kernel.shape[0]

    def forward(x: Any, h: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
        new = tf.tanh(x + tf.matmul(h, kernel))
        return new, new

    def backward(before: Any, new: Any) -> Factors:
        to_product = [1.0 - new * new]
        return Factors(direct=None, products=to_product, inputs=to_product)

    no_bias = tf.zeros([units])
    return run_cell(project(inputs, kernel, bias), recurrent_kernel, no_bias, forward, backward, compiled)
