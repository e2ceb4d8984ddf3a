"""W3: tokens of 5 to 60 words a row, hashed (10,000 buckets, dimension 32), recurrent layers [32, 16], batch 32."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from workload import Workload

UNITS = [32, 16]
CLASSES = 3
ROWS = 6_400
BUCKETS = 10_000
DIMENSION = 32


def data() -> tuple[dict[str, Any], np.ndarray]:
    """Rows of 5 to 60 tokens of 2,000 words; the label says which of three groups of words comes most."""
    random = np.random.default_rng(40)
    lengths = random.integers(5, 61, size=ROWS)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    labels = random.integers(0, CLASSES, size=ROWS).astype(np.int64)
    row = np.repeat(np.arange(ROWS), lengths)
    codes = random.integers(0, 2000, size=splits[-1])
    typical = random.random(splits[-1]) < 0.3
    codes = np.where(typical, codes - codes % CLASSES + labels[row], codes) % 1998
    vocabulary = np.array([f"word{i}".encode() for i in range(2000)], object)
    return {"tokens": (vocabulary[codes], splits)}, labels


def estimator(library: Any, tf: Any, *, cell: str, **common: Any) -> Any:
    fc = tf.feature_column
    hashed = fc.sequence_categorical_column_with_hash_bucket("tokens", BUCKETS)
    column = fc.embedding_column(hashed, DIMENSION)
    kind = library.RNNClassifier if hasattr(library, "RNNClassifier") else library.experimental.RNNClassifier
    return kind([column], units=UNITS, cell_type=cell, n_classes=CLASSES, **common)


def keras_model(keras: Any, *, cell: str) -> Any:
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    tokens = keras.Input((None,), name="tokens", dtype="int64")  # hashed in the input, 0 for padding
    x = keras.layers.Embedding(BUCKETS + 1, DIMENSION, mask_zero=True, name="embedding")(tokens)
    x = layer(UNITS[0], return_sequences=True, name="layer_0")(x)
    x = layer(UNITS[1], name="layer_1")(x)
    return keras.Model({"tokens": tokens}, keras.layers.Dense(CLASSES, name="logits")(x))


EMBEDDING = "sequence_features/tokens_embedding/embedding_weights"


def weights(cell: str) -> dict[str, list[str]]:
    """The recurrent layers and the logits; the embedding has a row more in Keras."""
    found = {"embedding": [EMBEDDING], "logits": ["rnn_model/logits/kernel", "rnn_model/logits/bias"]}
    for i, suffix in enumerate(["", "_1"]):
        scope = f"rnn_model/rnn/stacked_rnn_cells/{cell}_cell{suffix}"
        found[f"layer_{i}"] = [f"{scope}/kernel", f"{scope}/recurrent_kernel", f"{scope}/bias"]
    return found


LSTM = Workload(data, 32, 0.05, partial(estimator, cell="lstm"), partial(keras_model, cell="lstm"), weights("lstm"))
GRU = Workload(data, 32, 0.05, partial(estimator, cell="gru"), partial(keras_model, cell="gru"), weights("gru"))
