"""A run that is cut and continued equals the undisturbed one, bit for bit."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, make

v1 = tf.compat.v1


def noisy_keras(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
    """Dropout, batch norm, Adam: seeds, moving averages and slots must all come back."""
    net = keras.Sequential(
        [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    predicted = net(features["x"], training=mode == est.ModeKeys.TRAIN)
    loss = tf.reduce_mean((predicted - labels) ** 2)
    if mode == est.ModeKeys.EVAL:
        return est.EstimatorSpec(mode, loss=loss)
    optimizer = keras.optimizers.Adam(0.01)
    variables = net.trainable_variables
    optimizer.apply_gradients(zip(tf.gradients(loss, [v.value for v in variables]), variables, strict=True))
    return est.EstimatorSpec(mode, loss=loss, train_op=v1.assign_add(v1.train.get_global_step(), 1))


def shuffled_dataset() -> tf.data.Dataset:
    data = tf.data.Dataset.from_tensor_slices(({"x": X}, Y))
    return data.shuffle(50).repeat().batch(10).map(lambda f, y: ({"x": f["x"] * 1.5}, y)).prefetch(2)


def columns() -> Any:
    return est.inputs.columns_input_fn({"x": X}, Y, batch_size=10, shuffle=True)


class Losses(v1.train.SessionRunHook):
    def __init__(self) -> None:
        self.values: list[float] = []

    def before_run(self, run_context: Any) -> Any:
        return v1.train.SessionRunArgs(run_context.original_args.fetches[0])

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.values.append(run_values.results)


@pytest.mark.parametrize("input_of", [lambda: shuffled_dataset, columns], ids=["tf.data", "columns"])
def test_cut_run_equals_undisturbed_run(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    whole, cut = Losses(), Losses()
    first = make(tmp_path / "first", model=noisy_keras)
    # The seed of an unseeded shuffle is drawn once per run, so the undisturbed run starts from the same first save.
    first.train(input_of(), steps=1, hooks=[est.hooks.KeepInputPosition()])
    shutil.copytree(tmp_path / "first", tmp_path / "cut")
    first.train(input_of(), steps=24, hooks=[whole])
    for steps in (5, 1, 11, 7):
        hooks = [cut, est.hooks.KeepInputPosition()]
        make(tmp_path / "cut", model=noisy_keras).train(input_of(), steps=steps, hooks=hooks)
    assert whole.values == cut.values
    second = make(tmp_path / "cut", model=noisy_keras)
    for name in first.get_variable_names():
        np.testing.assert_array_equal(first.get_variable_value(name), second.get_variable_value(name), err_msg=name)
    assert "seed_generator/seed_generator_state" in first.get_variable_names()


def test_another_input_starts_from_its_beginning(tmp_path: Path) -> None:
    seen: list[float] = []

    class See(v1.train.SessionRunHook):
        def begin(self) -> None:
            self.first = next(op for op in v1.get_default_graph().get_operations() if op.type == "Placeholder").outputs[
                0
            ]

        def before_run(self, run_context: Any) -> Any:
            return v1.train.SessionRunArgs(self.first)

        def after_run(self, run_context: Any, run_values: Any) -> None:
            seen.append(float(run_values.results.ravel()[0]))

    def numbered(start: int) -> Callable[[], Any]:
        x = np.arange(start, start + 8, dtype=np.float32).reshape(8, 1) * np.ones([1, 3], np.float32)
        return lambda: tf.data.Dataset.from_tensor_slices(({"x": x}, Y[:8])).batch(1).repeat()

    estimator = make(tmp_path, params={"rate": 1e-6})
    for start in (0, 0, 100, 100):
        estimator.train(numbered(start), steps=3, hooks=[See(), est.hooks.KeepInputPosition()])
    assert seen == [0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105]


def test_input_from_python_can_not_be_continued_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def generated() -> tf.data.Dataset:
        def pairs() -> Any:
            while True:
                yield {"x": X[:4]}, Y[:4]

        signature = ({"x": tf.TensorSpec([4, 3])}, tf.TensorSpec([4, 1]))
        return tf.data.Dataset.from_generator(pairs, output_signature=signature)

    with caplog.at_level(logging.INFO, logger="tf_estimator"):
        make(tmp_path, save_checkpoints_steps=2).train(generated, steps=3)
    assert "position of the input can't be saved" in caplog.text
    assert make(tmp_path).train(generated, steps=3).get_variable_value("global_step") == 6


def test_damaged_resume_file_only_restarts_the_input(tmp_path: Path) -> None:
    make(tmp_path).train(columns(), steps=3)
    (tmp_path / "model.ckpt-3.resume").write_bytes(b"not an archive")
    assert make(tmp_path).train(columns(), steps=3).get_variable_value("global_step") == 6
