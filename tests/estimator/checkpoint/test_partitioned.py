"""Partitioned variables are one tensor in checkpoints, whatever the number of their parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

v1 = tf.compat.v1
IDS = np.arange(20) % 10


def _estimator(directory: Path, parts: int = 2, optimizer: Any = None, **kwargs: Any) -> est.Estimator:
    """Learns a number for each of ten ids, the rows of one table."""

    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        with v1.variable_scope("s", partitioner=v1.fixed_size_partitioner(parts) if parts else None):
            table = v1.get_variable("table", [10, 2], initializer=v1.ones_initializer())
        predictions = tf.reduce_sum(tf.nn.embedding_lookup(table, features["i"]), 1)
        if mode == est.ModeKeys.PREDICT:
            return est.EstimatorSpec(mode, predictions)
        loss = v1.losses.mean_squared_error(labels, predictions)
        train = (optimizer or v1.train.AdagradOptimizer)(0.1)
        return est.EstimatorSpec(mode, loss=loss, train_op=train.minimize(loss, v1.train.get_global_step()))

    return est.Estimator(model_fn, model_dir=str(directory), **kwargs)


def _input(repeat: int = 1) -> Any:
    return lambda: tf.data.Dataset.from_tensor_slices(({"i": IDS}, IDS.astype(np.float32))).batch(5).repeat(repeat)


def test_checkpoint_holds_one_tensor_per_variable(tmp_path: Path) -> None:
    estimator = _estimator(tmp_path)
    estimator.train(_input())
    shapes = dict(tf.train.list_variables(estimator.latest_checkpoint()))
    assert shapes == {"global_step": [], "s/table": [10, 2], "s/table/Adagrad": [10, 2]}
    assert estimator.get_variable_value("s/table").shape == (10, 2)


def test_tensorflows_own_saver_writes_the_same_names_and_is_continued(tmp_path: Path) -> None:
    # What a directory of the old library holds: slices under the name of the whole variable.
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.get_or_create_global_step()
        with v1.variable_scope("s", partitioner=v1.fixed_size_partitioner(2)):
            table = v1.get_variable("table", [10, 2], initializer=v1.zeros_initializer())
        loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [0]))
        v1.train.AdagradOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"), global_step=0)
    estimator = _estimator(tmp_path)
    # Zeros predict 0 for the ids 0 … 9: the mean of their squares is 285 / 10.
    assert estimator.evaluate(_input())["loss"] == pytest.approx(28.5)
    estimator.train(_input(20))
    assert estimator.evaluate(_input())["loss"] < 28.5


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 0), (0, 2)])
def test_another_number_of_parts_continues(tmp_path: Path, before: int, after: int) -> None:
    first = _estimator(tmp_path, before)
    first.train(_input())
    loss = first.evaluate(_input())["loss"]
    second = _estimator(tmp_path, after)
    assert second.evaluate(_input())["loss"] == loss
    second.train(_input())
    assert second.get_variable_value("global_step") == 8


def test_one_training_in_parts_equals_one_without(tmp_path: Path) -> None:
    values = []
    for parts in (0, 3):
        estimator = _estimator(tmp_path / str(parts), parts, v1.train.AdamOptimizer)
        estimator.train(_input())
        estimator.train(_input())
        values.append(estimator.get_variable_value("s/table"))
    np.testing.assert_allclose(values[1], values[0], rtol=1e-6)


def test_warm_start_takes_the_slices(tmp_path: Path) -> None:
    first = _estimator(tmp_path / "a", 2)
    first.train(_input(10))
    second = _estimator(tmp_path / "b", 3, warm_start_from=str(tmp_path / "a"))
    assert second.evaluate(_input())["loss"] == first.evaluate(_input())["loss"]
    third = _estimator(
        tmp_path / "c", 2, warm_start_from=est.WarmStartSettings(str(tmp_path / "a"), vars_to_warm_start="^s/table$")
    )
    assert third.evaluate(_input())["loss"] == first.evaluate(_input())["loss"]


def test_export_answers_as_predict_does(tmp_path: Path) -> None:
    estimator = _estimator(tmp_path / "m", 3)
    estimator.train(_input(5))
    receiver = est.export.build_raw_serving_input_receiver_fn({"i": tf.constant(IDS)})
    path = estimator.export_saved_model(str(tmp_path / "export"), receiver).decode()
    loaded = tf.saved_model.load(path).signatures["serving_default"](tf.constant(IDS))["output"]
    np.testing.assert_array_equal(loaded, list(estimator.predict(_input())))
    assert dict(tf.train.list_variables(f"{path}/variables/variables"))["s/table"] == [10, 2]


def test_another_shape_is_refused_with_both_shapes(tmp_path: Path) -> None:
    _estimator(tmp_path).train(_input())

    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        with v1.variable_scope("s", partitioner=v1.fixed_size_partitioner(2)):
            table = v1.get_variable("table", [12, 2])
        return est.EstimatorSpec(mode, loss=tf.reduce_sum(tf.convert_to_tensor(table)))

    with pytest.raises(
        est.CheckpointError, match=r"s/table: \[10, 2\] float32 in the checkpoint, \(12, 2\) float32 in the model"
    ):
        est.Estimator(model_fn, model_dir=str(tmp_path)).evaluate(_input())
