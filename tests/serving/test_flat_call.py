"""A flat call gives what TensorFlow's own call gives, bit for bit, and fails as it does."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from app.serving.predictor.flat_call import LEFTOVERS, MOST_LEFT, FlatCall, wrapper_name


def made(function: Any, *specs: tf.TensorSpec) -> tuple[FlatCall, Any]:
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    return FlatCall(concrete, specs), concrete


def test_all_dtypes_come_out_as_tensorflow_gives_them() -> None:
    kernel = tf.Variable(np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32))
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64)), -1
    )

    def answer(x: tf.Tensor, n: tf.Tensor, words: tf.Tensor) -> list[tf.Tensor]:
        known = table.lookup(words)
        return [x @ kernel, n + known[:, 0], tf.strings.join([words, words]), tf.cast(x, tf.bfloat16), x[:, 0] > 0]

    call, concrete = made(
        answer,
        tf.TensorSpec([None, 3], tf.float32),
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([None, 1], tf.string),
    )
    x = np.random.default_rng(4).normal(size=(5, 3)).astype("<f4")
    for words in ([["a"], ["b"], ["ä"], ["a"], [b"\xff"]], np.full((5, 1), b"b", object)):
        arrays = call([np.frombuffer(x.tobytes(), "<f4").reshape(5, 3), np.arange(5), words])
        expected = concrete(tf.constant(x), tf.range(5, dtype=tf.int64), tf.constant(words))
        for array, tensor in zip(arrays, expected, strict=True):
            assert array.dtype == tensor.numpy().dtype
            assert array.tolist() == tensor.numpy().tolist()


def test_loops_run_and_no_rows_are_no_error() -> None:
    def answer(x: tf.Tensor) -> list[tf.Tensor]:
        return [tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), (0, x))[1]]

    call, _ = made(answer, tf.TensorSpec([None], tf.float32))
    assert call([np.array([1.0, 2.0], np.float32)])[0].tolist() == [8.0, 16.0]
    assert call([np.empty(0, np.float32)])[0].shape == (0,)


def test_failures_are_those_of_tensorflow() -> None:
    call, _ = made(lambda i: [tf.gather(tf.constant([1.0, 2.0]), i)], tf.TensorSpec([None], tf.int64))
    with pytest.raises(tf.errors.InvalidArgumentError, match="7"):
        call([np.array([7])])
    with pytest.raises((TypeError, ValueError)):
        call([np.array(["x"], object)])
    with pytest.raises(ValueError, match="zip"):
        call([])


def test_inputs_are_never_written_to() -> None:
    """Of a matrix whose memory TensorFlow can share, with operations that could compute in place."""
    call, _ = made(lambda x: [tf.nn.relu(x - 1.0) * 2.0, x], tf.TensorSpec([None, 64], tf.float32))
    sent = np.zeros((64, 64), np.float32)
    kept = sent.tobytes()
    doubled, same = call([sent])
    assert doubled.max() == 0.0
    assert same.tobytes() == sent.tobytes() == kept


def test_function_goes_with_its_call() -> None:
    call, concrete = made(lambda x: [x + 1.0], tf.TensorSpec([None], tf.float32))
    gone = weakref.ref(concrete)
    assert call([np.ones(1, np.float32)])[0].tolist() == [2.0]
    del call, concrete
    gc.collect()
    assert gone() is None


def test_call_runs_in_the_thread_that_makes_it() -> None:
    def noted(x: np.ndarray) -> np.ndarray:
        seen.append(threading.get_ident())
        return x

    seen: list[int] = []
    call, _ = made(lambda x: [tf.numpy_function(noted, [x * 2.0], tf.float32) + 1.0], tf.TensorSpec([None], tf.float32))
    assert [call([np.full(1, n, np.float32)])[0].tolist() for n in range(3)] == [[1.0], [3.0], [5.0]]
    assert seen == [threading.get_ident()] * 3


def test_what_a_function_writes_stays_for_the_next_call() -> None:
    calls = tf.Variable(0.0)
    call, concrete = made(lambda x: [x + calls.assign_add(1.0)], tf.TensorSpec([None], tf.float32))
    assert [call([np.zeros(1, np.float32)])[0].tolist() for _ in range(3)] == [[1.0], [2.0], [3.0]]
    assert concrete(tf.zeros(1))[0].numpy().tolist() == [4.0]


def test_what_is_left_of_functions_is_dropped_and_the_living_ones_run_on() -> None:
    specs = [tf.TensorSpec([None], tf.float32)] * 19  # a number of inputs that no other test has
    values = [np.ones(1, np.float32)] * len(specs)
    living, _ = made(lambda *x: [sum(x)], *specs)
    for number in range(MOST_LEFT):
        gone, _ = made(lambda *x, plus=float(number): [sum(x) + plus], *specs)
        assert gone(values)[0].tolist() == [19.0 + number]
        LEFTOVERS.drop()
        assert wrapper_name(19, 1) in context.context().list_function_names()
    del gone, _
    gc.collect()
    LEFTOVERS.drop()
    assert wrapper_name(19, 1) not in context.context().list_function_names()
    assert living(values)[0].tolist() == [19.0]
    assert wrapper_name(19, 1) in context.context().list_function_names()


def test_nothing_is_dropped_while_a_call_runs() -> None:
    """TensorFlow crashes when that is done."""

    def dropping(x: np.ndarray) -> np.ndarray:
        LEFTOVERS.drop()
        seen.append(wrapper_name(17, 1) in context.context().list_function_names())
        return x

    seen: list[bool] = []
    specs = [tf.TensorSpec([None], tf.float32)] * 17  # a number of inputs that no other test has
    call, _ = made(lambda *x: [tf.numpy_function(dropping, [sum(x)], tf.float32) + 1.0], *specs)
    for _number in range(MOST_LEFT):
        LEFTOVERS.add((17, 1))
    assert call([np.ones(1, np.float32)] * 17)[0].tolist() == [18.0]
    assert seen == [True]
    assert wrapper_name(17, 1) not in context.context().list_function_names()
