"""Fast recurrent kernels against the same cells written out, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.estimator.graph_session import in_graph
from tf_estimator.recurrent import gru, lstm, simple_rnn

_TIME, _BATCH, _FEATURES, _UNITS = 6, 4, 3, 5


def _written_out_lstm(inputs, kernel, recurrent, bias):
    h = c = tf.zeros([_BATCH, _UNITS])
    outputs = []
    for x in tf.unstack(inputs):
        i, f, g, o = tf.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        outputs.append(h)
    return tf.stack(outputs)


def _written_out_gru(inputs, kernel, recurrent, bias):
    h = tf.zeros([_BATCH, _UNITS])
    outputs = []
    for x in tf.unstack(inputs):
        x_z, x_r, x_h = tf.split(x @ kernel + bias[0], 3, axis=-1)
        h_z, h_r, h_h = tf.split(h @ recurrent + bias[1], 3, axis=-1)
        z = tf.sigmoid(x_z + h_z)
        h = z * h + (1 - z) * tf.tanh(x_h + tf.sigmoid(x_r + h_r) * h_h)
        outputs.append(h)
    return tf.stack(outputs)


def _written_out_simple(inputs, kernel, recurrent, bias):
    h = tf.zeros([_BATCH, _UNITS])
    outputs = []
    for x in tf.unstack(inputs):
        h = tf.tanh(x @ kernel + bias + h @ recurrent)
        outputs.append(h)
    return tf.stack(outputs)


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize(
    ("kernel", "written_out", "gates"),
    [(lstm, _written_out_lstm, 4), (gru, _written_out_gru, 3), (simple_rnn, _written_out_simple, 1)],
    ids=["lstm", "gru", "simple_rnn"],
)
def test_fast_kernel_has_the_outputs_and_gradients_of_the_written_out_loop(kernel, written_out, gates, compiled):
    random = np.random.default_rng(1)
    bias_shape = [2, gates * _UNITS] if kernel is gru else [gates * _UNITS]
    shapes = [[_TIME, _BATCH, _FEATURES], [_FEATURES, gates * _UNITS], [_UNITS, gates * _UNITS], bias_shape]
    values = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    weights = random.normal(size=[_TIME, _BATCH, _UNITS]).astype(np.float32)

    def build():
        arguments = [tf.constant(value) for value in values]
        result = []
        for run in (lambda *a: kernel(*a, tf.constant(compiled)), written_out):
            outputs = run(*arguments)
            result.append([outputs, *tf.gradients(tf.reduce_sum(outputs * weights), arguments)])
        return result

    for fast, slow in zip(*in_graph(build), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)
