"""A loop over time with a gradient derived by hand.

Automatic differentiation of a loop stores and moves every intermediate value of every step. A cell here says itself
what its gradient needs, and everything that does not depend on the step before is done for all steps in one product,
before the loop or after it.

A step is some dozens of tiny operations, so that most of the time goes into starting them. Compiled by XLA the same
loops run several times faster, but the compilation takes a second or so for each size of input: it pays in long
trainings only, and `compiled` says when to use it.
"""

from __future__ import annotations

import functools
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
    inputs: Any,
    recurrent_kernel: Any,
    recurrent_bias: Any,
    forward: Forward,
    backward: Backward,
    compiled: Any = None,
) -> tf.Tensor:
    """States after every step, `[time, batch, units]`, from a state of zeros.

    Args:
        inputs: what reaches the cell from outside, `[time, batch, n]`.
        recurrent_kernel: `[units, m]`.
        recurrent_bias: `[m]`.
        forward, backward: one step of the cell; see above.
        compiled: bool scalar tensor, whether to run the loops compiled; never if None.
    """
    units = recurrent_kernel.shape[0]
    run_forward = _switched(functools.partial(_forward_loop, forward), compiled)
    run_backward = _switched(functools.partial(_backward_loop, backward), compiled)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def over_time(x: Any, kernel: Any, bias: Any) -> Any:
        steps = tf.shape(x)[0]
        states, kept = run_forward([x], steps, kernel, bias)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            before = tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0)
            d_inputs, d_products = run_backward([upstream, before, kept], steps, kernel, bias)
            flat = tf.reshape(d_products, [-1, kernel.shape[1]])
            d_kernel = tf.matmul(tf.reshape(before, [-1, units]), flat, transpose_a=True)
            return tf.ensure_shape(d_inputs, x.shape), d_kernel, tf.reduce_sum(flat, axis=0)

        return tf.ensure_shape(states, [None, None, units]), gradient

    return over_time(inputs, recurrent_kernel, recurrent_bias)


def _switched(loop: Callable[..., Any], compiled: Any) -> Callable[..., Any]:
    """`loop`, or where `compiled` is true the same compiled, with the time padded to a power of two so that few sizes
    are ever compiled; the padding is not run through."""
    if compiled is None:
        return loop
    compiled_loop = tf.function(loop, jit_compile=True, autograph=False)

    def call(sequences: list[Any], steps: Any, kernel: Any, bias: Any) -> Any:
        def padded() -> Any:
            missing = _power_of_two(steps) - steps
            longer = [tf.pad(s, [[0, missing], [0, 0], [0, 0]]) for s in sequences]
            return [result[:steps] for result in compiled_loop(longer, steps, kernel, bias)]

        return tf.cond(compiled, padded, lambda: list(loop(sequences, steps, kernel, bias)))

    return call


def _power_of_two(steps: Any) -> Any:
    exponent = tf.math.ceil(tf.math.log(tf.cast(steps, tf.float32)) / tf.math.log(2.0) - 1e-6)
    return tf.cast(tf.round(tf.pow(2.0, exponent)), tf.int32)


def _forward_loop(forward: Forward, sequences: list[Any], steps: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
    """States, and what was kept, after each of `steps` steps."""
    (x,) = sequences
    start = tf.zeros([tf.shape(x)[1], kernel.shape[0]])
    _, kept = forward(x[0], start, kernel, bias)  # for its shape only
    inputs = _array(x)
    states, keeps = _room(x, start.shape), _room(x, kept.shape)

    def body(t: Any, state: Any, states: Any, keeps: Any) -> Any:
        new, keep = forward(inputs.read(t), state, kernel, bias)
        return t + 1, new, states.write(t, new), keeps.write(t, keep)

    _, _, states, keeps = tf.while_loop(lambda t, *_: t < steps, body, (0, start, states, keeps))
    return states.stack(), keeps.stack()


def _backward_loop(backward: Backward, sequences: list[Any], steps: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
    """Gradients of each step's input and product, from the last step to the first."""
    upstream, before, kept = sequences
    ups, befores, keeps = _array(upstream), _array(before), _array(kept)
    start = tf.zeros_like(before[0])
    d_input, d_product, _ = backward(start, start, kept[0])  # for their shapes only
    d_inputs, d_products = _room(upstream, d_input.shape), _room(upstream, d_product.shape)

    def body(t: Any, d_state: Any, d_inputs: Any, d_products: Any) -> Any:
        d_input, d_product, d_direct = backward(d_state + ups.read(t), befores.read(t), keeps.read(t))
        d_before = d_direct + tf.matmul(d_product, kernel, transpose_b=True)
        return t - 1, d_before, d_inputs.write(t, d_input), d_products.write(t, d_product)

    _, _, d_inputs, d_products = tf.while_loop(lambda t, *_: t >= 0, body, (steps - 1, start, d_inputs, d_products))
    return d_inputs.stack(), d_products.stack()


def _array(sequence: Any) -> Any:
    room = tf.TensorArray(sequence.dtype, tf.shape(sequence)[0], element_shape=sequence.shape[1:])
    return room.unstack(sequence)


def _room(like: Any, shape: Any) -> Any:
    """An empty array for as many steps as `like` has."""
    return tf.TensorArray(like.dtype, tf.shape(like)[0], element_shape=shape)
