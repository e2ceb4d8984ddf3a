"""Feature columns under a linear model and a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .canned import _config, run
from .models import FixedStart, once, sgd, variables
from .registry import add

THEME = "columns"

fc = tf.feature_column
WORDS = np.array([["a", "b"], ["b", ""], ["c", "a"], ["x", "x"]])
FEATURES = {
    "n": np.float32([[0.5], [1.5], [2.5], [3.5]]),
    "v": np.float32([[1, 2], [3, 4], [5, 6], [7, 8]]),
    "i": np.int64([0, 1, 2, 3]),
    "s": np.array(["a", "b", "c", "z"]),
    "w": WORDS,
    "p": np.float32([[1, 2], [1, 0.5], [2, 1], [1, 1]]),
}
LABELS = np.float32([1, 2, 3, 4])


def _list(**more: Any) -> Any:
    return fc.categorical_column_with_vocabulary_list("s", ["a", "b", "c"], **more)


CATEGORICAL = {
    "vocabulary list": lambda: _list(),
    "vocabulary list with buckets for others": lambda: _list(num_oov_buckets=2),
    "vocabulary list with a default": lambda: _list(default_value=0),
    "vocabulary of integers": lambda: fc.categorical_column_with_vocabulary_list("i", [0, 2]),
    "vocabulary of several words": lambda: fc.categorical_column_with_vocabulary_list("w", ["a", "b", "c"]),
    "identity": lambda: fc.categorical_column_with_identity("i", 4),
    "identity out of range": lambda: fc.categorical_column_with_identity("i", 3),
    "identity with a default": lambda: fc.categorical_column_with_identity("i", 3, default_value=0),
    "hash": lambda: fc.categorical_column_with_hash_bucket("s", 5),
    "hash of integers": lambda: fc.categorical_column_with_hash_bucket("i", 5, dtype=tf.int64),
    "bucketized": lambda: fc.bucketized_column(fc.numeric_column("n"), [1.0, 2.0]),
    "bucketized vector": lambda: fc.bucketized_column(fc.numeric_column("v", shape=(2,)), [2.5, 5.5]),
    "crossed": lambda: fc.crossed_column(["s", "i"], 7),
    "crossed with a key": lambda: fc.crossed_column(["s", "w"], 7, hash_key=3),
    "crossed with buckets": lambda: fc.crossed_column(
        [fc.bucketized_column(fc.numeric_column("n"), [1.0, 2.0]), _list()], 7
    ),
    "weighted": lambda: fc.weighted_categorical_column(
        fc.categorical_column_with_vocabulary_list("w", ["a", "b", "c"]), "p"
    ),
}
DENSE = {
    "numeric": lambda: fc.numeric_column("n"),
    "numeric vector": lambda: fc.numeric_column("v", shape=(2,)),
    "numeric with a normalizer": lambda: fc.numeric_column("n", normalizer_fn=lambda x: (x - 2) / 3),
    "numeric of a wrong shape": lambda: fc.numeric_column("v"),
    "numeric of integers": lambda: fc.numeric_column("i"),
}
EMBEDDED = {
    "indicator": lambda: fc.indicator_column(_list()),
    "indicator of several words": lambda: fc.indicator_column(CATEGORICAL["vocabulary of several words"]()),
    "indicator of weights": lambda: fc.indicator_column(CATEGORICAL["weighted"]()),
    "indicator of a cross": lambda: fc.indicator_column(CATEGORICAL["crossed"]()),
    "embedding": lambda: fc.embedding_column(_list(), 2),
    "embedding by sums": lambda: fc.embedding_column(CATEGORICAL["vocabulary of several words"](), 2, combiner="sum"),
    "embedding by roots": lambda: fc.embedding_column(
        CATEGORICAL["vocabulary of several words"](), 2, combiner="sqrtn"
    ),
    "embedding of limited size": lambda: fc.embedding_column(_list(), 2, max_norm=0.1),
    "embedding that is fixed": lambda: fc.embedding_column(
        _list(), 2, trainable=False, initializer=tf.constant_initializer(0.5)
    ),
    "embedding of buckets": lambda: fc.embedding_column(CATEGORICAL["bucketized"](), 2),
}


def _linear(column: Any) -> Any:
    def train(est: Any, directory: str) -> Any:
        made = est.LinearRegressor([column()], model_dir=directory, config=_config(est), optimizer=sgd(0.1))
        made.train(lambda: once(FEATURES, LABELS, 2)().repeat(), steps=3)
        values = {n: v for n, v in variables(made).items() if not n.startswith("training/")}
        return values, [row["predictions"] for row in made.predict(once(FEATURES))]

    return train


def _deep(column: Any) -> Any:
    def train(est: Any, directory: str) -> Any:
        made = est.DNNRegressor([2], [column()], model_dir=directory, config=_config(est), optimizer=sgd(0.05))
        made.train(lambda: once(FEATURES, LABELS, 2)().repeat(), steps=3, hooks=[FixedStart()])
        values = {n: v for n, v in variables(made).items() if not n.startswith("training/")}
        return values, [row["predictions"] for row in made.predict(once(FEATURES))]

    return train


for _name, _column in {**CATEGORICAL, **DENSE}.items():
    add(THEME, f"linear {_name}", _linear(_column))
for _name, _column in {**DENSE, **EMBEDDED, "vocabulary list": CATEGORICAL["vocabulary list"]}.items():
    add(THEME, f"DNN {_name}", _deep(_column))


def _several(est: Any, directory: str) -> Any:
    columns = [fc.numeric_column("n"), _list(), fc.categorical_column_with_identity("i", 4)]
    made = est.LinearRegressor(columns, model_dir=directory, config=_config(est), optimizer=sgd(0.05))
    made.train(lambda: once(FEATURES, LABELS, 2)().repeat(), steps=3)
    return variables(made)


def _shared(est: Any, directory: str) -> Any:
    first = fc.categorical_column_with_vocabulary_list("s", ["a", "b", "c"])
    second = fc.categorical_column_with_vocabulary_list("w", ["a", "b", "c"])
    columns = fc.shared_embeddings([first, second], 2)
    made = est.DNNRegressor([2], columns, model_dir=directory, config=_config(est), optimizer=sgd(0.05))
    made.train(lambda: once(FEATURES, LABELS, 2)().repeat(), steps=2, hooks=[FixedStart()])
    return {n: v for n, v in variables(made).items() if not n.startswith("training/")}


add(THEME, "linear several", _several)
add(THEME, "DNN shared embeddings", _shared)
add(THEME, "linear class", lambda est, d: run(
    est.LinearClassifier([fc.bucketized_column(fc.numeric_column("age"), [1.0])], model_dir=d, config=_config(est),
                         optimizer=sgd(0.1)), np.int64([0, 1, 0, 1, 1, 0, 1, 1])))  # fmt: skip
