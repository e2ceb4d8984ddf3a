"""Many steps as one loop of a graph: the same numbers as step by step, and no update too many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, make, rows
from tf_estimator.inputs.column_packing import Packing

v1 = tf.compat.v1
ROWS = 40
RANDOM = np.random.default_rng(3)
#: Named so that their order by name is not the order in the dict.
COLUMNS = {f"x{i}": RANDOM.normal(size=ROWS).astype(np.float32) for i in range(12)}
LABELS = (COLUMNS["x0"] > COLUMNS["x10"]).astype(np.int64)


def single_steps(estimator: est.Estimator, input_fn: Any, steps: int) -> None:
    """Trains with a hook that wants to see every step, so that no loop is used."""
    estimator.train(input_fn, max_steps=steps, hooks=[v1.train.SessionRunHook()])


def network(directory: Path, columns: Any = None) -> est.Estimator:
    columns = columns or [tf.feature_column.numeric_column(name) for name in COLUMNS]
    return est.DNNClassifier([6], columns, str(directory), config=est.RunConfig(tf_random_seed=4))


def same_variables(one: est.Estimator, other: est.Estimator) -> None:
    assert one.get_variable_names() == other.get_variable_names()
    for name in one.get_variable_names():
        np.testing.assert_array_equal(one.get_variable_value(name), other.get_variable_value(name), err_msg=name)


@pytest.mark.parametrize("shuffle", [False, True])
def test_loop_and_single_steps_give_equal_bits(tmp_path: Path, shuffle: bool) -> None:
    def columns() -> Any:
        return est.inputs.columns_input_fn(COLUMNS, LABELS, batch_size=7, shuffle=shuffle, seed=1)

    looped = network(tmp_path / "loop").train(columns(), max_steps=25)
    single = network(tmp_path / "single")
    single_steps(single, columns(), 25)
    same_variables(looped, single)


def test_columns_handed_over_as_a_matrix_equal_the_data_set(tmp_path: Path) -> None:
    """The data set gives column by column; the columns input gives the matrix that the network wants."""
    data = {**COLUMNS, "x3": COLUMNS["x3"].astype(np.float64)}  # another dtype: not in the matrix of the others
    columns = est.inputs.columns_input_fn(data, LABELS, batch_size=8)
    by_matrix = network(tmp_path / "matrix").train(columns, max_steps=12)

    def dataset() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((data, LABELS)).batch(8).repeat()

    by_column = network(tmp_path / "column").train(dataset, max_steps=12)
    same_variables(by_matrix, by_column)


def test_a_column_used_twice_is_in_the_matrix_and_by_itself(tmp_path: Path) -> None:
    fc = tf.feature_column
    plain = [fc.numeric_column(name) for name in COLUMNS]
    columns = [*plain, fc.bucketized_column(fc.numeric_column("x5"), [0.0])]
    by_matrix = network(tmp_path / "matrix", columns)
    by_matrix.train(est.inputs.columns_input_fn(COLUMNS, LABELS, batch_size=8), max_steps=9)
    by_column = network(tmp_path / "column", columns)
    by_column.train(lambda: tf.data.Dataset.from_tensor_slices((COLUMNS, LABELS)).batch(8).repeat(), max_steps=9)
    same_variables(by_matrix, by_column)


def test_columns_side_by_side_are_found_in_the_order_of_their_names() -> None:
    packing = Packing(({"b": np.zeros(2, np.float32), "a": np.ones(2, np.float32), "c": np.zeros(2)}, np.arange(2)))
    # Components of a batch come by name: a, b, c, then the labels. Of float32 there are a and b.
    assert packing.stacked([0, 1]) == ("float32 scalar", 0, 2)
    assert packing.stacked([1]) == ("float32 scalar", 1, 2)
    assert packing.stacked([1, 0]) is None  # not in this order
    assert packing.stacked([1, 2]) is None  # not of one dtype
    assert packing.pack()[packing.packs.index("float32 scalar")].tolist() == [[1, 0], [1, 0]]


def test_what_takes_nothing_of_the_batch_does_not_happen_at_the_end_of_the_input(tmp_path: Path) -> None:
    """64 rows in batches of 16 are 4 steps; the counter is raised without looking at the batch."""

    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [3, 1], initializer=v1.zeros_initializer())
        seen = v1.get_variable("seen", [], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean((features["x"] @ w - labels) ** 2)
        step = v1.train.get_global_step().assign_add(1, read_value=False)
        return est.EstimatorSpec(mode, loss=loss, train_op=tf.group(seen.assign_add(2.0, read_value=False), step))

    estimator = make(tmp_path, model=model_fn, log_step_count_steps=1000).train(rows(epochs=1))
    assert estimator.get_variable_value("global_step") == 4
    assert estimator.get_variable_value("seen") == 8.0


def test_a_counter_that_goes_by_two_stops_at_its_goal(tmp_path: Path) -> None:
    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [3, 1], initializer=v1.zeros_initializer())
        done = v1.get_variable("done", [], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean((features["x"] @ w - labels) ** 2)
        step = v1.train.get_global_step().assign_add(2, read_value=False)
        return est.EstimatorSpec(mode, loss=loss, train_op=tf.group(done.assign_add(1.0, read_value=False), step))

    estimator = make(tmp_path, model=model_fn).train(rows(), max_steps=60)
    assert estimator.get_variable_value("global_step") == 60
    assert estimator.get_variable_value("done") == 30.0


def test_control_flow_and_random_numbers_of_the_model_work_in_the_loop(tmp_path: Path) -> None:
    """A tf.while_loop, a tf.cond and a stateless draw inside the step: looped and single steps are equal."""

    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [3, 1], initializer=v1.ones_initializer())
        step = v1.train.get_global_step()
        drawn = tf.random.stateless_normal([3, 1], tf.stack([tf.constant(1, tf.int64), step.read_value()]))
        power = tf.while_loop(lambda i, _: i < 3, lambda i, p: (i + 1, p * 0.9), (0, w + 0.01 * drawn))[1]
        even = tf.equal(step.read_value() % 2, 0)
        predicted = features["x"] @ tf.cond(even, lambda: power, lambda: power * 1.1)
        loss = tf.reduce_mean((predicted - labels) ** 2)
        return est.EstimatorSpec(mode, loss=loss, train_op=v1.train.GradientDescentOptimizer(0.1).minimize(loss, step))

    looped = make(tmp_path / "loop", model=model_fn).train(rows(), max_steps=11)
    single = make(tmp_path / "single", model=model_fn)
    single_steps(single, rows(), 11)
    same_variables(looped, single)
    assert not np.allclose(looped.get_variable_value("w"), 1.0)


def test_a_function_of_constants_works_in_the_loop(tmp_path: Path) -> None:
    """What takes nothing in a function belongs to the step too: here the whole of what is added."""

    @tf.function(autograph=False)
    def one(given: tf.Tensor) -> tf.Tensor:
        drawn = tf.random.stateless_uniform([], [1, 2], 1.0, 1.0 + 1e-7)  # no constant, but taken from constants alone
        return drawn + 0.0 * given

    @tf.function(autograph=False)
    def three(given: tf.Tensor) -> tf.Tensor:
        return one(given) + tf.random.stateless_uniform([], [3, 4], 2.0, 2.0 + 1e-7)

    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [3, 1], initializer=v1.zeros_initializer())
        seen = v1.get_variable("seen", [], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean((features["x"] @ w - labels) ** 2)
        step = v1.train.get_global_step().assign_add(1, read_value=False)
        train_op = tf.group(seen.assign_add(three(loss), read_value=False), step)
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    estimator = make(tmp_path, model=model_fn).train(rows(), max_steps=6)
    assert estimator.get_variable_value("seen") == pytest.approx(18.0, rel=1e-5)


def test_evaluation_returns_the_values_after_the_last_batch(tmp_path: Path) -> None:
    """The loss of w = 0 is the mean of y² over all batches, the error the mean of |y|, hooks or not."""
    estimator = make(tmp_path)
    plain = estimator.evaluate(rows(epochs=1))
    hooked = estimator.evaluate(rows(epochs=1), hooks=[v1.train.SessionRunHook()])
    assert plain["mae"] == pytest.approx(np.abs(Y).mean(), rel=1e-5)
    assert plain["loss"] == pytest.approx((Y**2).mean(), rel=1e-5)
    assert plain == hooked
    assert len(X) == 64
