"""W2: two hashed columns (10,000 buckets, dimension 16) and 8 numbers, [1024, 512, 256], batch 256, 25,600 rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from w1 import dense_weights
from workload import Workload

NUMBERS = [f"x{i}" for i in range(8)]
WORDS = ["a", "b"]
HIDDEN_UNITS = [1024, 512, 256]
CLASSES = 3
ROWS = 25_600
BUCKETS = 10_000
DIMENSION = 16


def data() -> tuple[dict[str, Any], np.ndarray]:
    """Strings of 2,000 words, float32 numbers, labels int64 in 0..2 that depend on both."""
    random = np.random.default_rng(30)
    x = random.normal(size=(ROWS, len(NUMBERS))).astype(np.float32)
    codes = random.integers(0, 2000, size=(ROWS, len(WORDS)))
    effect = random.normal(size=(len(WORDS), 2000, CLASSES))
    scores = x @ random.normal(size=(len(NUMBERS), CLASSES)) + sum(effect[i, codes[:, i]] for i in range(len(WORDS)))
    vocabulary = np.array([f"word{i}".encode() for i in range(2000)], object)
    features: dict[str, Any] = {name: np.ascontiguousarray(x[:, i]) for i, name in enumerate(NUMBERS)}
    features.update({name: vocabulary[codes[:, i]] for i, name in enumerate(WORDS)})
    return features, scores.argmax(1).astype(np.int64)


def estimator(library: Any, tf: Any, **common: Any) -> Any:
    fc = tf.feature_column
    hashed = [fc.categorical_column_with_hash_bucket(name, BUCKETS) for name in WORDS]
    columns = [fc.numeric_column(name) for name in NUMBERS] + [fc.embedding_column(c, DIMENSION) for c in hashed]
    return library.DNNClassifier(HIDDEN_UNITS, columns, n_classes=CLASSES, **common)


def keras_model(keras: Any) -> Any:
    numbers = {name: keras.Input((), name=name) for name in NUMBERS}
    words = {name: keras.Input((), name=name, dtype="string") for name in WORDS}
    parts = []
    for name in sorted([*NUMBERS, *WORDS]):  # the order in which an Estimator puts its columns side by side
        if name in numbers:
            parts.append(keras.layers.Reshape((1,))(numbers[name]))
        else:
            hashed = keras.layers.Hashing(BUCKETS)(words[name])
            parts.append(keras.layers.Embedding(BUCKETS, DIMENSION, name=f"embedding_{name}")(hashed))
    x = keras.layers.Concatenate()(parts)
    for i, units in enumerate(HIDDEN_UNITS):
        x = keras.layers.Dense(units, activation="relu", name=f"hiddenlayer_{i}")(x)
    return keras.Model({**numbers, **words}, keras.layers.Dense(CLASSES, name="logits")(x))


EMBEDDING = "dnn/input_from_feature_columns/input_layer/{}_embedding/embedding_weights"
WEIGHTS = {**{f"embedding_{n}": [EMBEDDING.format(n)] for n in WORDS}, **dense_weights(len(HIDDEN_UNITS))}
WORKLOAD = Workload(data, 256, 0.001, estimator, keras_model, WEIGHTS)
