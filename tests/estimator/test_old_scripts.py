"""What old scripts do beside the main road: queues, lists, stalled steps, values at the end, arrays and frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, make, rows

v1 = tf.compat.v1


def forgets_the_step(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
    w = v1.get_variable("w", [3, 1], initializer=v1.zeros_initializer())
    loss = tf.reduce_mean((features["x"] @ w - labels) ** 2)
    return est.EstimatorSpec(mode, loss=loss, train_op=v1.train.GradientDescentOptimizer(0.1).minimize(loss))


def test_step_that_stands_still_is_an_error_where_it_would_never_end(tmp_path: Path) -> None:
    with pytest.raises(est.GlobalStepError, match="get_global_step"):
        make(tmp_path, model=lambda features, labels, mode: forgets_the_step(features, labels, mode)).train(
            rows(), steps=5
        )


def test_step_that_stands_still_trains_to_the_end_of_the_input(tmp_path: Path) -> None:
    estimator = make(tmp_path, model=forgets_the_step).train(rows(1))
    assert estimator.get_variable_value("global_step") == 0
    assert np.abs(estimator.get_variable_value("w")).min() > 0


def test_step_that_stands_still_is_saved_when_a_hook_stops_it(tmp_path: Path) -> None:
    class Stop(v1.train.SessionRunHook):
        def after_run(self, run_context: Any, run_values: Any) -> None:
            run_context.request_stop()

    estimator = make(tmp_path, model=forgets_the_step).train(rows(), hooks=[Stop()])
    assert estimator.get_variable_value("global_step") == 0
    assert np.abs(estimator.get_variable_value("w")).min() > 0


def test_input_fn_may_return_a_list(tmp_path: Path) -> None:
    estimator = make(tmp_path).train(lambda: [tf.constant(X), tf.constant(Y)], steps=3)
    assert estimator.get_variable_value("global_step") == 3


def test_queues_are_refused_with_the_remedy(tmp_path: Path) -> None:
    def input_fn() -> Any:
        return v1.train.batch(v1.train.slice_input_producer([tf.constant(X), tf.constant(Y)]), 8)

    with pytest.raises(ValueError, match="numpy_input_fn"):
        make(tmp_path).train(input_fn, steps=3)


def test_session_run_takes_a_batch_for_what_depends_on_it(tmp_path: Path) -> None:
    seen: list[Any] = []

    class AtTheEnd(v1.train.SessionRunHook):
        def begin(self) -> None:
            self.loss = v1.get_default_graph().get_tensor_by_name("Mean:0")

        def end(self, session: Any) -> None:
            seen.append(session.run(self.loss))

    hooks = [AtTheEnd(), est.LoggingTensorHook(["Mean:0"], every_n_iter=5, at_end=True)]
    estimator = make(tmp_path).train(rows(), steps=2, hooks=hooks)
    # Two batches trained, so the third, rows 32 to 47, is the one that is taken.
    expected = np.mean((X[32:48] @ estimator.get_variable_value("w") - Y[32:48]) ** 2)
    assert seen[0] == pytest.approx(expected, rel=1e-4)


def test_input_context_is_that_of_one_worker(tmp_path: Path) -> None:
    seen = []

    def input_fn(input_context: Any) -> Any:
        seen.append((input_context.num_input_pipelines, input_context.input_pipeline_id))
        return rows()()

    make(tmp_path).train(input_fn, steps=1)
    assert seen == [(1, 0)]


def test_metric_of_a_constant_counts_each_batch_once(tmp_path: Path) -> None:
    def model(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        loss = tf.reduce_mean(features["x"])
        count = keras.metrics.Sum(name="count")
        count.update_state(tf.constant(1.0))
        return est.EstimatorSpec(mode, loss=loss, eval_metric_ops={"count": count})

    # 64 rows in batches of 16.
    assert make(tmp_path, model=model).evaluate(rows(1))["count"] == 4


def test_numpy_input_fn_gives_arrays_and_dicts(tmp_path: Path) -> None:
    for x in (X, {"x": X}):
        train = est.inputs.numpy_input_fn(x, Y, batch_size=16, num_epochs=2, shuffle=False)
        estimator = make(tmp_path / type(x).__name__).train(train)
        assert estimator.get_variable_value("global_step") == 8
    with pytest.raises(ValueError, match="shuffle"):
        est.inputs.numpy_input_fn(X, Y)


class Frame(dict[str, np.ndarray]):
    """As much of a pandas `DataFrame` as an input function takes."""

    index = range(64)

    @property
    def columns(self) -> list[str]:
        return list(self)


def test_pandas_input_fn_gives_columns(tmp_path: Path) -> None:
    input_fn = est.inputs.pandas_input_fn(Frame(a=X[:, 0], b=X[:, 1]), Frame(y=Y[:, 0]), 16, shuffle=False)
    features, labels = next(iter(input_fn()))
    np.testing.assert_array_equal(features["b"], X[:16, 1])
    np.testing.assert_array_equal(labels["y"], Y[:16, 0])


def test_dense_features_begins_a_sequential(tmp_path: Path) -> None:
    columns = [
        tf.feature_column.numeric_column("x", shape=(3,)),
        tf.feature_column.embedding_column(tf.feature_column.categorical_column_with_identity("k", 2), 4),
    ]

    def model(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        net = keras.Sequential([est.layers.DenseFeatures(columns), keras.layers.Dense(1)], name="net")
        logits = net(features)
        return est.RegressionHead().create_estimator_spec(
            features,
            mode,
            logits,
            labels,
            optimizer=keras.optimizers.Adam(0.05),
            trainable_variables=net.trainable_variables,
        )

    data = tf.data.Dataset.from_tensor_slices
    kinds = (Y[:, 0] > 0).astype(np.int64)
    estimator = make(tmp_path, model=model)
    first = estimator.train(lambda: data(({"x": X, "k": kinds}, Y)).batch(16).repeat(), steps=1)
    name = "net/dense_features/k_embedding/embedding_weights"
    before = first.get_variable_value(name)
    estimator.train(lambda: data(({"x": X, "k": kinds}, Y)).batch(16).repeat(), steps=20)
    assert np.abs(estimator.get_variable_value(name) - before).max() > 1e-3
    assert estimator.evaluate(lambda: data(({"x": X, "k": kinds}, Y)).batch(16))["global_step"] == 21


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (X[:, :2], r"'x' has shape \(2,\) per row.*expects \(3,\)"),
        (X[:, 0], r"'x' has shape \(\) per row.*expects \(3,\)"),
        (X.astype("S"), "'x' holds strings"),
    ],
)
def test_feature_of_another_shape_or_type_is_named(tmp_path: Path, values: Any, message: str) -> None:
    column = tf.feature_column.numeric_column("x", shape=(3,))
    estimator = est.DNNRegressor([2], [column], str(tmp_path))
    with pytest.raises(est.InputShapeError, match=message):
        estimator.train(lambda: tf.data.Dataset.from_tensor_slices(({"x": values}, Y)).batch(16))
    assert not (tmp_path / "checkpoint").exists()
