"""A loop over time with a gradient derived by hand.

Automatic differentiation of a loop stores and moves every intermediate value of every step. Here a cell keeps what its
gradient needs, and everything that does not depend on the step before is done for all steps at once, before the loop or
after it. The gradient of a cell's state reaches its gates by factors that are known from the way forward, so that the
loop backward has a product with the kernel and a few multiplications left.

A step is some dozens of tiny operations, so that most of the time goes into starting them. Compiled by XLA the same
loops run several times faster, but the compilation takes a second or so for each size of input: it pays in long
trainings only, and `compiled` says when to use it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

# From (input of a step, state before it, recurrent kernel, recurrent bias) to (state after it, what its gradient
# needs), for one step.
Forward = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


class Factors(NamedTuple):
    """By what the gradient of the states is multiplied; all `[time, batch, units]`.

    Attributes:
        direct: to reach the state before, past the kernel; None for nothing.
        products: to reach each gate's part of `state before @ recurrent kernel + recurrent bias`, one per gate.
        inputs: to reach each gate's input.
    """

    direct: Any
    products: list[Any]
    inputs: list[Any]


# From (states before every step, what was kept of every step) to the factors of all steps.
Backward = Callable[[Any, Any], Factors]


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
        forward: one step of the cell; see above.
        backward: the factors of its gradient.
        compiled: bool scalar tensor, whether to run the loops compiled; never if None.
    """
    units = recurrent_kernel.shape[0]
    run_forward = _switched(functools.partial(_forward_loop, forward), compiled)
    run_backward = _switched(functools.partial(_backward_loop, backward), compiled)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def over_time(x: Any, kernel: Any, bias: Any) -> Any:
        steps = tf.shape(x)[0]
        states, kept = run_forward(x, [], steps, kernel, bias)

        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            d_inputs, d_products = run_backward(upstream, [states, kept], steps, kernel, bias)
            flat = tf.reshape(d_products[:steps], [-1, kernel.shape[1]])
            # The state before the first step is zero, and so is that step's part of the kernel's gradient.
            before, after = states[: steps - 1], d_products[1:steps]
            d_kernel = tf.matmul(
                tf.reshape(before, [-1, units]), tf.reshape(after, [-1, kernel.shape[1]]), transpose_a=True
            )
            return tf.ensure_shape(d_inputs[:steps], x.shape), d_kernel, tf.reduce_sum(flat, axis=0)

        return tf.ensure_shape(states[:steps], [None, None, units]), gradient

    return over_time(inputs, recurrent_kernel, recurrent_bias)


def _switched(loop: Callable[..., Any], compiled: Any) -> Callable[..., Any]:
    """`loop`, or where `compiled` is true the same compiled, with the time padded to a power of two so that few sizes
    are ever compiled. The padding is not run through, and is left on the results: those that the loop backward takes
    from the loop forward have it then."""
    if compiled is None:
        return loop
    compiled_loop = tf.function(loop, jit_compile=True, autograph=False)

    def call(sequence: Any, padded: list[Any], steps: Any, kernel: Any, bias: Any) -> Any:
        def run_compiled() -> Any:
            longer = tf.pad(sequence, [[0, _power_of_two(steps) - steps], [0, 0], [0, 0]])
            return list(compiled_loop(longer, padded, steps, kernel, bias))

        return tf.cond(compiled, run_compiled, lambda: list(loop(sequence, padded, steps, kernel, bias)))

    return call


def _power_of_two(steps: Any) -> Any:
    exponent = tf.math.ceil(tf.math.log(tf.cast(steps, tf.float32)) / tf.math.log(2.0) - 1e-6)
    return tf.cast(tf.round(tf.pow(2.0, exponent)), tf.int32)


def _forward_loop(forward: Forward, x: Any, _: list[Any], steps: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
    """States, and what was kept, after each of `steps` steps."""
    start = tf.zeros([tf.shape(x)[1], kernel.shape[0]])
    _, kept = forward(x[0], start, kernel, bias)  # for its shape only
    inputs = _array(x)
    states, keeps = _room(x, start.shape), _room(x, kept.shape)

    def body(t: Any, state: Any, states: Any, keeps: Any) -> Any:
        new, keep = forward(inputs.read(t), state, kernel, bias)
        return t + 1, new, states.write(t, new), keeps.write(t, keep)

    _, _, states, keeps = tf.while_loop(lambda t, *_: t < steps, body, (0, start, states, keeps))
    return states.stack(), keeps.stack()


def _backward_loop(
    backward: Backward, upstream: Any, forward: list[Any], steps: Any, kernel: Any, _: Any
) -> tuple[Any, Any]:
    """Gradients of each step's input and product, from the last step to the first."""
    states, kept = forward
    before = tf.concat([tf.zeros_like(states[:1]), states[:-1]], axis=0)
    factors = backward(before, kept)
    ups, products = _array(upstream), [_array(factor) for factor in factors.products]
    direct = None if factors.direct is None else _array(factors.direct)
    start = tf.zeros_like(before[0])
    transposed = tf.transpose(kernel)

    def body(t: Any, d_state: Any, d_states: Any) -> Any:
        d_new = d_state + ups.read(t)
        d_product = [d_new * factor.read(t) for factor in products]
        d_before = tf.matmul(d_product[0] if len(products) == 1 else tf.concat(d_product, axis=1), transposed)
        if direct is not None:
            d_before += d_new * direct.read(t)
        return t - 1, d_before, d_states.write(t, d_new)

    d_states = _room(upstream, start.shape)
    d_states = tf.while_loop(lambda t, *_: t >= 0, body, (steps - 1, start, d_states))[2].stack()
    d_inputs, d_products = ([d_states * f for f in each] for each in (factors.inputs, factors.products))
    return tf.concat(d_inputs, axis=2), tf.concat(d_products, axis=2)


def _array(sequence: Any) -> Any:
    room = tf.TensorArray(sequence.dtype, tf.shape(sequence)[0], element_shape=sequence.shape[1:])
    return room.unstack(sequence)


def _room(like: Any, shape: Any) -> Any:
    """An empty array for as many steps as `like` has."""
    return tf.TensorArray(like.dtype, tf.shape(like)[0], element_shape=shape)
