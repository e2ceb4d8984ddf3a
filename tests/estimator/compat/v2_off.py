"""Trains, evaluates, predicts, warm-starts and exports with parts of TensorFlow 2 switched off.

Imports TensorFlow once, then forks a process for each line of standard input: a directory and the names of the
switches. Answers each with the process' exit status; its output is in the directory.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

from tf_estimator import compat

compat.install()
import numpy as np  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402

import tf_estimator as est  # noqa: E402

E = tf.estimator
fc = tf.feature_column
X = np.linspace(-1, 1, 32).astype(np.float32)
ROWS = ({"x": X, "w": np.array(["a", "b"] * 16)}, (X > 0).astype(np.int64))
WORDS = fc.categorical_column_with_hash_bucket("w", 10)
COLUMNS = [fc.numeric_column("x"), fc.embedding_column(WORDS, 2)]


def dataset() -> Any:
    return tf.data.Dataset.from_tensor_slices(ROWS).batch(8).repeat(2)


def tensors() -> Any:
    return tf.data.make_one_shot_iterator(dataset()).get_next()


def model_fn(features: Any, labels: Any, mode: str) -> Any:
    """Old code: reference variables where they are switched on, `Dimension`s, a loop, metrics of v1."""
    net = tf.feature_column.input_layer(features, COLUMNS)
    width = net.shape[1]
    kernel = tf.get_variable("kernel", [getattr(width, "value", width), 1])
    tf.get_variable("large", [1 << 20, 2])  # so large that checkpoints are written by another thread
    logits = tf.matmul(net, kernel) + tf.Variable(0.0, name="bias")
    if mode == E.ModeKeys.PREDICT:
        output = E.export.PredictOutput({"logits": logits})
        return E.EstimatorSpec(mode, {"logits": logits}, export_outputs={"predict": output, "serving_default": output})
    loss = tf.losses.sigmoid_cross_entropy(tf.reshape(labels, [-1, 1]), logits)
    if mode == E.ModeKeys.EVAL:
        right = tf.metrics.accuracy(labels, tf.cast(logits > 0, tf.int64))
        return E.EstimatorSpec(mode, loss=loss, eval_metric_ops={"accuracy": right})
    count = tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
    with tf.control_dependencies([count]):
        train_op = tf.train.AdamOptimizer(0.1).minimize(loss, tf.train.get_global_step())
    return E.EstimatorSpec(mode, loss=loss, train_op=train_op)


def check(make: Any, directory: Path) -> None:
    """The whole life of one estimator."""
    estimator = make(str(directory / "model"))
    estimator.train(dataset, steps=6)
    estimator.train(tensors, max_steps=12)
    result = estimator.evaluate(dataset)
    assert result["global_step"] == 12
    assert make(str(directory / "model")).evaluate(dataset) == result
    predicted = [row["logits"][0] for row in estimator.predict(dataset)]
    assert len(predicted) == 64
    warm = make(str(directory / "warm"), warm_start_from=str(directory / "model")).evaluate(dataset)
    assert abs(warm["loss"] - result["loss"]) < 1e-5
    receiver = E.export.build_parsing_serving_input_receiver_fn(fc.make_parse_example_spec(COLUMNS))
    ask = est.predictor.from_saved_model(estimator.export_saved_model(str(directory / "export"), receiver), "predict")
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(float(X[0]))
    example.features.feature["w"].bytes_list.value.append(b"a")
    (name,) = ask.feed_tensors
    assert abs(ask({name: [example.SerializeToString()]})["logits"][0, 0] - predicted[0]) < 1e-5


def recurrent(directory: Path) -> None:
    """Sequences, whose steps are a loop in the graph."""
    rows = ({"s": np.array([["a", "b", ""], ["b", "", ""]] * 8)}, np.array([[0], [1]] * 8))
    words = fc.sequence_categorical_column_with_vocabulary_list("s", ["a", "b"])
    column = fc.embedding_column(words, 3)
    estimator = est.experimental.RNNClassifier([column], units=[4], cell_type="lstm", model_dir=str(directory))
    batches = lambda: tf.data.Dataset.from_tensor_slices(rows).batch(4).repeat(2)  # noqa: E731
    estimator.train(batches, steps=6)
    estimator.train(batches, max_steps=9)
    assert estimator.evaluate(batches)["global_step"] == 9
    assert len(list(estimator.predict(batches))) == 32


def replicas(directory: Path) -> None:
    """Two devices train one model as one device does."""
    config = {"train_distribute": tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])}
    losses = []
    for name, given, size in (("two", config, 4), ("one", {}, 8)):
        batches = lambda size=size: tf.data.Dataset.from_tensor_slices(ROWS).batch(size).repeat(2)  # noqa: E731
        run = est.RunConfig(tf_random_seed=5, **given)
        estimator = est.LinearClassifier(COLUMNS[:1], str(directory / name), optimizer="SGD", config=run)
        estimator.train(batches, steps=4)
        losses.append(estimator.evaluate(dataset)["loss"])
    assert abs(losses[0] - losses[1]) < 1e-5


def life(switches: list[str], here: Path) -> None:
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    for switch in switches:
        getattr(tf, switch)()
    if "disable_v2_behavior" in switches:
        recurrent(here / "recurrent")
        replicas(here / "replicas")
    config = E.RunConfig(save_checkpoints_steps=4)
    check(lambda d, **more: E.DNNClassifier([4], COLUMNS, d, config=config, **more), here / "v1")
    wide = {"linear_feature_columns": [WORDS], "dnn_feature_columns": COLUMNS, "dnn_hidden_units": [3]}
    check(lambda d, **more: est.DNNLinearCombinedClassifier(model_dir=d, config=config, **wide, **more), here / "v2")
    check(lambda d, **more: E.Estimator(model_fn, d, config, **more), here / "own")
    E.train_and_evaluate(
        E.LinearClassifier(COLUMNS[:1], str(here / "both")),
        E.TrainSpec(dataset, max_steps=8),
        E.EvalSpec(dataset, throttle_secs=0),
    )


def forked(switches: list[str], here: Path) -> int:
    """Exit status of the process that did all that."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        log = os.open(here / "log", os.O_CREAT | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        life(switches, here)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    for line in sys.stdin:
        here, *switches = line.split()
        print(forked(switches, Path(here)), flush=True)


main()
