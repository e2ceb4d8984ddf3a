"""The JSON form of estimators: what it makes, and errors that point at the argument."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tf_estimator.optimizer import Adam
from workers.estimator_json.build import (
    InvalidArgument,
    column_from_json,
    estimator_from_json,
    feature_columns_from_json,
    head_from_json,
    optimizer_from_json,
)

_X = {"type": "numeric_column", "key": "x"}


def test_columns_are_nested_and_normalized():
    column = column_from_json({**_X, "normalizer": {"mean": 1, "stddev": 2}, "dtype": "float32"})
    assert column.normalizer_fn(5.0) == 2.0
    words = {"type": "categorical_column_with_hash_bucket", "key": "w", "hash_bucket_size": 4}
    crossed = {"type": "crossed_column", "keys": ["w", {**_X, "type": "bucketized_column"}], "hash_bucket_size": 3}
    crossed["keys"][1] = {"type": "bucketized_column", "source_column": _X, "boundaries": [0.0]}
    made = feature_columns_from_json(
        [{"type": "embedding_column", "categorical_column": words, "dimension": 2, "initializer": "zeros"}, crossed]
    )
    assert [column.name for column in made] == ["w_embedding", "w_X_x_bucketized"]


def test_shared_embeddings_are_several_columns():
    words = [{"type": "categorical_column_with_identity", "key": key, "num_buckets": 3} for key in "ab"]
    made = feature_columns_from_json([{"type": "shared_embeddings", "categorical_columns": words, "dimension": 2}])
    assert len(made) == 2


def test_heads_and_optimizers():
    head = head_from_json(
        {
            "type": "MultiHead",
            "head_weights": [1.0, 2.0],
            "heads": [{"type": "RegressionHead", "name": "a"}, {"type": "MultiLabelHead", "n_classes": 2, "name": "b"}],
        }
    )
    assert head.name == "a_b"
    adam = optimizer_from_json({"type": "AdamOptimizer", "beta_1": 0.8})
    assert isinstance(adam, Adam)
    assert adam.hypers["beta_1"] == 0.8
    schedule = {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5}
    assert callable(optimizer_from_json({"type": "SGD", "learning_rate": schedule}).learning_rate)
    assert isinstance(optimizer_from_json({"type": "Lion", "learning_rate": 0.1}), tf.keras.optimizers.Lion)
    proximal = optimizer_from_json({"type": "ProximalAdagrad", "learning_rate": 0.1})
    assert isinstance(proximal, tf.compat.v1.train.ProximalAdagradOptimizer)


def _dnn(**args):
    return {"estimator": "DNNClassifier", "args": {"hidden_units": [4], "feature_columns": [_X], **args}}


def test_estimators_take_both_names_of_the_type(tmp_path):
    for spec in (_dnn(activation_fn="tanh"), {"type": "DNNClassifier", "args": _dnn()["args"]}):
        assert type(estimator_from_json(spec, str(tmp_path))).__name__ == "DNNClassifier"
    cell = {"type": "StackedRNNCells", "cells": [{"type": "GRUCell", "units": 3}]}
    column = {"type": "sequence_numeric_column", "key": "s"}
    spec = {"type": "RNNClassifier", "args": {"sequence_feature_columns": [column], "rnn_cell_fn": cell}}
    assert type(estimator_from_json(spec, str(tmp_path))).__name__ == "RNNClassifier"


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"type": "DNNClasifier"}, "/type"),
        ({"estimator": None}, "/estimator"),
        (_dnn(hidden_unit=[3]), "/args/hidden_unit"),
        (_dnn(model_dir="models"), "/args/model_dir"),
        (_dnn(n_classes=1), "/args/n_classes"),
        (_dnn(hidden_units=[0]), "/args/hidden_units"),
        (_dnn(dropout=2), "/args/dropout"),
        (_dnn(optimizer="Adagard"), "/args/optimizer"),
        (_dnn(optimizer={"type": "Adagard"}), "/args/optimizer/type"),
        (_dnn(optimizer={"type": "Adam", "momentum": 1}), "/args/optimizer/momentum"),
        (_dnn(optimizer={"type": "SGD", "momentum": 7}), "/args/optimizer/momentum"),
        (_dnn(optimizer={"type": "SGD", "learning_rate": {"type": "No"}}), "/args/optimizer/learning_rate/type"),
        (_dnn(activation_fn="relly"), "/args/activation_fn"),
        (_dnn(feature_columns=_X), "/args/feature_columns"),
        (_dnn(feature_columns=[{"type": "numeric"}]), "/args/feature_columns/0/type"),
        (_dnn(feature_columns=[{"type": "numeric_column"}]), "/args/feature_columns/0/key"),
        (_dnn(feature_columns=[{**_X, "size": 3}]), "/args/feature_columns/0/size"),
        (_dnn(feature_columns=[{**_X, "normalizer": "zscore"}]), "/args/feature_columns/0/normalizer"),
        (
            _dnn(feature_columns=[{**_X, "normalizer": {"mean": 0, "stddev": 0}}]),
            "/args/feature_columns/0/normalizer/stddev",
        ),
        (
            _dnn(feature_columns=[{"type": "embedding_column", "categorical_column": 3, "dimension": 1}]),
            "/args/feature_columns/0/categorical_column",
        ),
        ({"type": "DNNEstimator", "args": {"head": {"type": "MultiClassHead"}}}, "/args/head/n_classes"),
        (
            {"type": "DNNEstimator", "args": {"head": {"type": "RegressionHead", "loss_fn": "mse"}}},
            "/args/head/loss_fn",
        ),
        ({"type": "DNNClassifier", "args": {"hidden_units": [1]}}, "/args/feature_columns"),
    ],
)
def test_errors_point_at_the_argument(spec, pointer, tmp_path):
    with pytest.raises(InvalidArgument) as caught:
        estimator_from_json(spec, str(tmp_path))
    assert caught.value.pointer == pointer
    assert str(caught.value).startswith(pointer + ": ")
