"""What hooks and metrics write during an evaluation or a prediction ends with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, by_hand, make, model_fn, rows

v1 = tf.compat.v1


class Zero(v1.train.SessionRunHook):
    """Sets w to zero, by `session.run` or as a fetch of each step."""

    def __init__(self, how: str) -> None:
        self._how = how

    def begin(self) -> None:
        w = next(v for v in v1.global_variables() if v.op.name == "w")
        self._write = w.assign(tf.zeros_like(w)).op

    def after_create_session(self, session: Any, coord: Any) -> None:
        if self._how == "session":
            session.run(self._write)

    def before_run(self, run_context: Any) -> Any:
        return v1.train.SessionRunArgs(self._write) if self._how == "fetch" else None


def w_of(estimator: est.Estimator) -> Any:
    """w as predictions see it: of the row of ones in one column."""
    ones = lambda: tf.data.Dataset.from_tensors({"x": np.eye(3, dtype=np.float32)})  # noqa: E731
    return np.stack([p["y"] for p in estimator.predict(ones)])


@pytest.mark.parametrize("how", ["session", "fetch"])
def test_hook_of_an_evaluation_leaves_the_model_as_it_is(tmp_path: Path, how: str) -> None:
    estimator = make(tmp_path)
    estimator.train(rows(), steps=3)
    before = estimator.evaluate(rows(epochs=1))
    estimator.evaluate(rows(epochs=1), hooks=[Zero(how)])
    assert estimator.evaluate(rows(epochs=1)) == before
    np.testing.assert_allclose(w_of(estimator), by_hand(3), rtol=1e-5)
    estimator.train(rows(), steps=2)
    # The second call starts its input from the first batch on.
    np.testing.assert_allclose(estimator.get_variable_value("w"), by_hand(2, w=by_hand(3)), rtol=1e-5)


@pytest.mark.parametrize("how", ["session", "fetch"])
def test_hook_of_a_prediction_leaves_the_model_as_it_is(tmp_path: Path, how: str) -> None:
    estimator = make(tmp_path)
    estimator.train(rows(), steps=3)
    data = lambda: tf.data.Dataset.from_tensors({"x": X})  # noqa: E731
    seen = np.stack([p["y"] for p in estimator.predict(data, hooks=[Zero(how)])])
    if how == "session":
        np.testing.assert_array_equal(seen, np.zeros_like(seen))
    np.testing.assert_allclose(w_of(estimator), by_hand(3), rtol=1e-5)


def test_metric_that_writes_the_model_leaves_it_as_it_is(tmp_path: Path) -> None:
    def writing(features: Any, labels: Any, mode: str, params: Any) -> est.EstimatorSpec:
        spec = model_fn(features, labels, mode, params)
        if mode != est.ModeKeys.EVAL:
            return spec
        w = next(v for v in v1.global_variables() if v.op.name == "w")
        return spec._replace(eval_metric_ops={"w": (w.read_value(), w.assign_add(tf.ones_like(w)))})

    estimator = make(tmp_path, model=writing)
    estimator.train(rows(), steps=3)
    estimator.evaluate(rows(epochs=1))
    np.testing.assert_allclose(w_of(estimator), by_hand(3), rtol=1e-5)


def test_evaluation_between_checkpoints_does_not_change_the_training(tmp_path: Path) -> None:
    estimator = make(tmp_path, save_checkpoints_steps=2)
    est.train_and_evaluate(
        estimator,
        est.TrainSpec(rows(), max_steps=6),
        est.EvalSpec(rows(epochs=1), hooks=[Zero("session")], throttle_secs=0, start_delay_secs=0),
    )
    np.testing.assert_allclose(estimator.get_variable_value("w"), by_hand(6), rtol=1e-5)
