"""Logit functions of v1's experimental namespace; names of variables as tf.estimator 2.15.1 printed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

v1 = tf.compat.v1
fc = tf.feature_column
build_dnn = est.experimental.dnn_logit_fn_builder
build_linear = est.experimental.linear_logit_fn_builder


def test_logit_functions_name_their_variables_below_the_present_scope() -> None:
    with tf.Graph().as_default():
        features = {"x": tf.ones([2, 1]), "c": tf.constant([["a"], ["b"]])}
        embedding = fc.embedding_column(fc.categorical_column_with_hash_bucket("c", 5), 2)
        with v1.variable_scope("outer"):
            dnn = build_dnn(3, [4], [fc.numeric_column("x"), embedding], tf.nn.relu, None, None, False)
            linear = build_linear(3, [fc.numeric_column("x")])
            assert dnn(features=features, mode="train").shape == linear(features=features).shape == (2, 3)
        assert [variable.op.name for variable in v1.trainable_variables()] == [
            "outer/input_from_feature_columns/input_layer/c_embedding/embedding_weights",
            "outer/hiddenlayer_0/kernel",
            "outer/hiddenlayer_0/bias",
            "outer/logits/kernel",
            "outer/logits/bias",
            "outer/linear_model/bias_weights",
            "outer/linear_model/x/weights",
        ]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_model_fn_of_logit_functions_learns(tmp_path: Path, batch_norm: bool) -> None:
    columns = [fc.numeric_column("x")]
    x = np.linspace(-1, 1, 32).astype(np.float32)

    def model_fn(features: Any, labels: Any, mode: str, params: Any, config: Any) -> est.EstimatorSpec:
        with v1.variable_scope("dnn"):
            dnn = build_dnn(1, [8], columns, tf.nn.relu, None, None, batch_norm)
            deep = est.experimental.call_logit_fn(dnn, features, mode, params, config)
        wide = est.experimental.call_logit_fn(build_linear(1, columns), features, mode, params, config)
        head = est.RegressionHead()
        return head.create_estimator_spec(
            features,
            mode,
            deep + wide,
            labels,
            optimizer=tf.keras.optimizers.Adam(0.05),
            update_ops=v1.get_collection(v1.GraphKeys.UPDATE_OPS),
        )

    # A seed, for weights that all start with the wrong sign need more steps than these.
    estimator = est.Estimator(model_fn, config=est.RunConfig(str(tmp_path), tf_random_seed=1))
    estimator.train(lambda: tf.data.Dataset.from_tensors(({"x": x}, x**2)).repeat(150))
    result = estimator.evaluate(lambda: tf.data.Dataset.from_tensors(({"x": x}, x**2)))
    if batch_norm:
        # The moving averages, slow ones, are what an evaluation takes.
        assert np.abs(estimator.get_variable_value("dnn/hiddenlayer_0/batchnorm_0/moving_mean")).max() > 0
    else:
        # The mean of x⁴ less the square of the mean of x², a constant's loss, is some 0.1.
        assert result["average_loss"] < 0.01


def test_call_logit_fn_hands_over_what_is_asked_for() -> None:
    with tf.Graph().as_default():
        features = {"x": tf.ones([2, 1])}
        seen: dict[str, Any] = {}

        def logit_fn(features: Any, mode: str, params: Any) -> Any:
            seen.update(mode=mode, params=params)
            return {"a": features["x"]}

        made = est.experimental.call_logit_fn(logit_fn, features, "eval", {"k": 1}, None)
        assert made == {"a": features["x"]}
        assert seen == {"mode": "eval", "params": {"k": 1}}
        for wrong in (1, {"a": 1}, [features["x"]]):
            with pytest.raises(ValueError, match="logit_fn should return a Tensor or a dictionary"):
                est.experimental.call_logit_fn(lambda features, made=wrong: made, features, "eval", {}, None)
