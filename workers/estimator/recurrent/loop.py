"""A loop over time with a gradient derived by hand.

Automatic differentiation of a loop stores and moves every intermediate value of every step. A cell here says itself
what its gradient needs, and everything that does not depend on the step before is done for all steps in one product,
before the loop or after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# From (input of a step, state before it, recurrent kernel, recurrent bias) to (state after it, what its gradient
# needs).
Forward = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
# From (gradient of the state after a step, state before it, what was kept) to (gradient of the step's input, gradient
# of `state @ recurrent kernel + recurrent bias`, the part of the gradient of the state before it that does not go
# through the kernel).
Backward = Callable[[Any, Any, Any], tuple[Any, Any, Any]]


def run_cell(
    inputs: Any, recurrent_kernel: Any, recurrent_bias: Any, units: int, forward: Forward, backward: Backward, kept: int
) -> tf.Tensor:
    """States after every step, `[time, batch, units]`, from a state of zeros.

    Args:
        inputs: what reaches the cell from outside, `[time, batch, n]`.
        recurrent_kernel: `[units, m]`.
        recurrent_bias: `[m]`.
        forward, backward: one step of the cell; see above.
        kept: width of what `forward` keeps for `backward`.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def over_time(x: Any, kernel: Any, bias: Any) -> Any:
        steps, batch = tf.shape(x)[0], tf.shape(x)[1]
        start = tf.zeros([batch, units])
        states, kept_values = _forward_loop(x, kernel, bias, start, forward, kept)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            before = tf.concat([start[None], states[:-1]], axis=0)
            d_inputs, d_products = _backward_loop(upstream, before, kept_values, kernel, steps, backward)
            d_products.set_shape([None, None, kernel.shape[1]])
            d_inputs.set_shape(x.shape)
            flat = tf.reshape(d_products, [-1, kernel.shape[1]])
            d_kernel = tf.matmul(tf.reshape(before, [-1, units]), flat, transpose_a=True)
            return d_inputs, d_kernel, tf.reduce_sum(flat, axis=0)

        return states, gradient

    return over_time(inputs, recurrent_kernel, recurrent_bias)


def _forward_loop(x: Any, kernel: Any, bias: Any, start: Any, forward: Forward, kept: int) -> tuple[Any, Any]:
    steps = tf.shape(x)[0]
    read = tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x)
    states = tf.TensorArray(x.dtype, steps, element_shape=start.shape)
    keeps = tf.TensorArray(x.dtype, steps, element_shape=[x.shape[1], kept])

    def body(t: Any, state: Any, states: Any, keeps: Any) -> Any:
        new, keep = forward(read.read(t), state, kernel, bias)
        return t + 1, new, states.write(t, new), keeps.write(t, keep)

    _, _, states, keeps = tf.while_loop(
        lambda t, *_: t < steps, body, (0, start, states, keeps), maximum_iterations=steps
    )
    return states.stack(), keeps.stack()


def _backward_loop(
    upstream: Any, before: Any, kept_values: Any, kernel: Any, steps: Any, backward: Backward
) -> tuple[Any, Any]:
    up = tf.TensorArray(upstream.dtype, steps, element_shape=upstream.shape[1:]).unstack(upstream)
    prior = tf.TensorArray(upstream.dtype, steps, element_shape=before.shape[1:]).unstack(before)
    keeps = tf.TensorArray(upstream.dtype, steps, element_shape=kept_values.shape[1:]).unstack(kept_values)
    d_inputs = tf.TensorArray(upstream.dtype, steps)
    d_products = tf.TensorArray(upstream.dtype, steps)

    def body(t: Any, d_state: Any, d_inputs: Any, d_products: Any) -> Any:
        d_input, d_product, d_direct = backward(d_state + up.read(t), prior.read(t), keeps.read(t))
        d_before = d_direct + tf.matmul(d_product, kernel, transpose_b=True)
        return t - 1, d_before, d_inputs.write(t, d_input), d_products.write(t, d_product)

    _, _, d_inputs, d_products = tf.while_loop(
        lambda t, *_: t >= 0,
        body,
        (steps - 1, tf.zeros_like(before[0]), d_inputs, d_products),
        maximum_iterations=steps,
    )
    return d_inputs.stack(), d_products.stack()
