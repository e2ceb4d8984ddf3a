"""`tf.layers` and `tf.nn.rnn_cell` in a model_fn, with tf_keras in a folder of its own and without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ROOT / ".legacy-keras"

SCRIPT = """
import sys
from tf_estimator import compat
compat.install()
import numpy as np
import tensorflow.compat.v1 as tf
import tf_estimator as est
X = np.linspace(-1, 1, 40).astype("float32")

def model_fn(features, labels, mode):
    training = mode == tf.estimator.ModeKeys.TRAIN
    x = tf.reshape(features["x"], [-1, 1])
    net = tf.layers.dense(x, 8, activation=tf.nn.relu, name="first")
    net = tf.layers.dropout(tf.layers.batch_normalization(net, training=training, momentum=0.9), 0.1, training=training)
    conv = tf.layers.flatten(tf.layers.conv1d(net[:, :, None], 2, 3, activation=tf.nn.relu))
    _, state = tf.nn.dynamic_rnn(tf.nn.rnn_cell.LSTMCell(3), net[:, :, None], dtype=tf.float32)
    y = tf.layers.dense(tf.concat([conv, state.h], 1), 1, name="last")
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, {"y": y})
    loss = tf.losses.mean_squared_error(tf.reshape(labels, [-1, 1]), y)
    with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        train_op = tf.train.AdamOptimizer(0.02).minimize(loss, tf.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

def input_fn():
    return tf.data.Dataset.from_tensor_slices(({"x": X}, 2 * X)).batch(40)

estimator = tf.estimator.Estimator(model_fn, "model", tf.estimator.RunConfig(tf_random_seed=1))
before = estimator.train(input_fn).evaluate(input_fn)["loss"]
estimator.train(lambda: input_fn().repeat(150))
assert estimator.evaluate(input_fn)["loss"] < before / 2, before
assert np.abs(estimator.get_variable_value("batch_normalization/moving_mean")).max() > 0
assert estimator.get_variable_value("first/kernel").shape == (1, 8)

def receiver():
    x = tf.placeholder(tf.float32, [None])
    return tf.estimator.export.ServingInputReceiver({"x": x}, {"x": x})

served = est.predictor.from_estimator(estimator, receiver)({"x": X})["y"]
np.testing.assert_allclose(served, [row["y"] for row in estimator.predict(input_fn)], rtol=1e-5, atol=1e-6)
print("done")
"""

WITHOUT = """
from tf_estimator import compat
compat.install()
import tensorflow.compat.v1 as tf
for use in (lambda: tf.layers.dense, lambda: tf.nn.rnn_cell.LSTMCell):
    try:
        use()
    except AttributeError as error:
        assert "pip install 'tf_keras>=2.21,<2.22'" in str(error), error
    else:
        raise AssertionError("no error")
print("done")
"""


def _run(script: str, directory: Path, *path: Path) -> None:
    environment = {
        "PYTHONPATH": os.pathsep.join(str(p) for p in (ROOT, *path)),
        "PATH": "/usr/bin:/bin",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HOME": str(directory),
    }
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory, env=environment)
    assert run.returncode == 0, run.stderr[-4000:]
    assert run.stdout.split() == ["done"]


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with tf_keras alone, made once."""
    if not (PACKAGES / "made").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"]
        made = subprocess.run([*command, str(PACKAGES), "tf_keras>=2.21,<2.22"], capture_output=True, check=False)
        if made.returncode != 0:
            pytest.skip("no package index has tf_keras")
        (PACKAGES / "made").touch()
    return PACKAGES


def test_old_layers_train_export_and_serve(tmp_path: Path, packages: Path) -> None:
    _run(SCRIPT, tmp_path, packages)


def test_old_layers_name_their_package_where_it_is_missing(tmp_path: Path) -> None:
    _run(WITHOUT, tmp_path)
