"""W1: 20 scalar numeric features in a dict, [64, 32], 3 classes, batch 128, 12,800 rows, Adagrad(0.001)."""

from __future__ import annotations

from typing import Any

import numpy as np
from workload import Workload

FEATURES = [f"x{i}" for i in range(20)]
HIDDEN_UNITS = [64, 32]
CLASSES = 3
ROWS = 12_800


def data() -> tuple[dict[str, Any], np.ndarray]:
    """Features float32 [12800], labels int64 [12800] in 0..2 from a fixed random network with noise."""
    random = np.random.default_rng(20)
    x = random.normal(size=(ROWS, len(FEATURES))).astype(np.float32)
    hidden = np.tanh(x @ random.normal(size=(len(FEATURES), 8)))
    scores = hidden @ random.normal(size=(8, CLASSES)) + random.normal(scale=0.3, size=(ROWS, CLASSES))
    return {name: np.ascontiguousarray(x[:, i]) for i, name in enumerate(FEATURES)}, scores.argmax(1).astype(np.int64)


def estimator(library: Any, tf: Any, **common: Any) -> Any:
    columns = [tf.feature_column.numeric_column(name) for name in FEATURES]
    return library.DNNClassifier(HIDDEN_UNITS, columns, n_classes=CLASSES, **common)


def keras_model(keras: Any) -> Any:
    inputs = {name: keras.Input((), name=name) for name in FEATURES}
    x = keras.layers.Concatenate()([keras.layers.Reshape((1,))(inputs[name]) for name in sorted(FEATURES)])
    for i, units in enumerate(HIDDEN_UNITS):
        x = keras.layers.Dense(units, activation="relu", name=f"hiddenlayer_{i}")(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x))


def dense_weights(layers: int) -> dict[str, list[str]]:
    """Names of the weights of `layers` hidden layers and the logits."""
    names = [*(f"hiddenlayer_{i}" for i in range(layers)), "logits"]
    return {name: [f"dnn/{name}/kernel", f"dnn/{name}/bias"] for name in names}


WORKLOAD = Workload(data, 128, 0.001, estimator, keras_model, dense_weights(len(HIDDEN_UNITS)))
