"""Opt-in speed: compiled steps, bfloat16 products and batches of similar length agree with the plain path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tf_estimator.inputs.shuffle import GROUPED_BATCHES, Order
from tf_estimator.training.run import TrainingRun

BATCH = 8
RANDOM = np.random.default_rng(5)
X = {name: RANDOM.normal(size=200).astype(np.float32) for name in ("a", "b", "c")}
Y = (X["a"] + X["b"] * X["c"] > 0).astype(np.int64)
LENGTHS = RANDOM.integers(1, 12, size=200)
SPLITS = np.concatenate([[0], np.cumsum(LENGTHS)])
TOKENS = est.inputs.Sequence(np.array([f"w{i % 7}" for i in range(SPLITS[-1])], object), SPLITS)


def train(directory: Path, steps: int, **config: Any) -> est.Estimator:
    """A small network trained on shuffled columns, always from the same start; several trainings are one pass."""
    columns = [tf.feature_column.numeric_column(name) for name in X]
    run = est.RunConfig(tf_random_seed=1, log_step_count_steps=150, save_summary_steps=None, **config)
    estimator = est.DNNClassifier([8, 4], columns, str(directory), config=run, optimizer="Adam")
    input_fn = est.inputs.columns_input_fn(X, Y, batch_size=BATCH, shuffle=True, seed=2)
    return estimator.train(input_fn, hooks=[est.hooks.KeepInputPosition()], max_steps=steps)


def variables(estimator: est.Estimator) -> dict[str, Any]:
    return {name: estimator.get_variable_value(name) for name in estimator.get_variable_names()}


def test_compiled_steps_give_the_same_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[bool] = []
    make = TrainingRun._multi_step

    def noted(run: TrainingRun, compiled: bool) -> Any:
        kinds.append(compiled)
        return make(run, compiled)

    monkeypatch.setattr(TrainingRun, "_multi_step", noted)
    plain = variables(train(tmp_path / "plain", 180))
    assert kinds == [False]
    compiled = variables(train(tmp_path / "compiled", 180, jit_compile=True))
    assert True in kinds
    assert plain.keys() == compiled.keys()
    assert int(compiled["global_step"]) == 180
    for name, value in plain.items():
        np.testing.assert_allclose(compiled[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_compiled_steps_continue_a_plain_checkpoint(tmp_path: Path) -> None:
    train(tmp_path / "cut", 70)
    continued = train(tmp_path / "cut", 180, jit_compile=True)
    unbroken = train(tmp_path / "unbroken", 180)
    for name, value in variables(unbroken).items():
        np.testing.assert_allclose(continued.get_variable_value(name), value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_strings_are_trained_without_compiling(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    word = tf.feature_column.categorical_column_with_vocabulary_list("w", ["x", "y"])
    columns = [tf.feature_column.indicator_column(word)]
    features = {"w": np.array(["x", "y"] * 20, object)}
    input_fn = est.inputs.columns_input_fn(features, np.array([0, 1] * 20), batch_size=4)
    with caplog.at_level("INFO", "tf_estimator"):
        estimator = est.DNNClassifier([4], columns, str(tmp_path), config=est.RunConfig(jit_compile=True))
        estimator.train(input_fn, steps=3)
    assert "not compiled" in caplog.text
    assert int(estimator.get_variable_value("global_step")) == 3


def test_bfloat16_products_reach_the_same_loss(tmp_path: Path) -> None:
    evaluated = est.inputs.columns_input_fn(X, Y, batch_size=BATCH, num_epochs=1)
    plain = train(tmp_path / "plain", 150)
    mixed = train(tmp_path / "mixed", 150, mixed_precision="bfloat16")
    # Variables stay float32 but differ a little: a bfloat16 factor has 8 bits, an error of up to 2^-9 each.
    kernel = mixed.get_variable_value("dnn/hiddenlayer_0/kernel")
    assert kernel.dtype == np.float32
    assert np.abs(kernel - plain.get_variable_value("dnn/hiddenlayer_0/kernel")).max() > 0
    assert mixed.evaluate(evaluated)["loss"] == pytest.approx(plain.evaluate(evaluated)["loss"], rel=1e-2)


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="mixed_precision"):
        est.RunConfig(mixed_precision="float16")


def test_grouped_order_has_every_row_once_an_epoch_and_little_padding() -> None:
    plain = Order(200, 1, 3).slice(0, 200)
    order = Order(200, 1, 3, LENGTHS, BATCH)
    grouped = order.slice(0, 200)
    np.testing.assert_array_equal(np.sort(grouped), np.arange(200))

    def padded(rows: Any) -> int:
        return int(LENGTHS[rows].reshape(-1, BATCH).max(1).sum() * BATCH)

    # One group of all 25 batches, sorted: the padding left is at most one length per batch and row.
    assert padded(grouped) <= LENGTHS.sum() + 11 * BATCH
    assert padded(plain) > 1.4 * LENGTHS.sum()
    # Any piece is the same as when the whole was asked for, so that a resumed run goes on exactly.
    np.testing.assert_array_equal(order.slice(37, 50), grouped[37:87])


def test_grouped_order_keeps_rows_in_their_group_and_the_small_batch_last() -> None:
    lengths = np.arange(1000)[::-1]
    order = Order(1000, 1, None, lengths, BATCH)
    size = BATCH * GROUPED_BATCHES
    rows = order.slice(0, 1000)
    np.testing.assert_array_equal(np.sort(rows[:size]), np.arange(size))
    # 1000 = 2 groups of 400 and one of 200 rows; unseeded, each group is simply sorted by length.
    np.testing.assert_array_equal(rows[:3], [399, 398, 397])
    np.testing.assert_array_equal(rows[-2:], [801, 800])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_grouping_changes_no_evaluation(tmp_path: Path, cell: str) -> None:
    column = tf.feature_column.sequence_categorical_column_with_hash_bucket("t", 10)
    estimator = est.experimental.RNNClassifier(
        [tf.feature_column.embedding_column(column, 4)], units=[5], cell_type=cell, model_dir=str(tmp_path)
    )

    def input_fn(**how: Any) -> Any:
        return est.inputs.columns_input_fn({"t": TOKENS}, Y, batch_size=BATCH, **how)

    estimator.train(input_fn(shuffle=True, seed=1, group_by_length=True), steps=20)
    plain = estimator.evaluate(input_fn(num_epochs=1))
    grouped = estimator.evaluate(input_fn(num_epochs=1, group_by_length=True))
    # 200 rows make 25 full batches, so the mean over batches is the mean over rows in any order.
    for name in ("loss", "accuracy", "auc"):
        assert grouped[name] == pytest.approx(plain[name], rel=1e-5), name


def test_grouping_needs_a_sequence() -> None:
    with pytest.raises(ValueError, match="group_by_length needs a Sequence"):
        est.inputs.columns_input_fn(X, Y, batch_size=BATCH, group_by_length=True)
