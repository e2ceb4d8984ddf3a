"""W4: rows like Criteo's, 13 numbers and 26 columns of categories, wide and deep, [256, 128, 64], batch 512.

Of the categories there are 3 to a million a column, 5.6 million together. A few of them come often, as in logs of
clicks. Each has a weight of the linear model and 8 numbers of an embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from workload import Workload

NUMBERS = [f"i{i:02}" for i in range(13)]
_SIZES = [1_000_000] * 4 + [300_000] * 4 + [100_000] * 3 + [10_000] * 6 + [5_000] * 5 + [1_000] * 3 + [3]
SIZES = {f"c{i:02}": size for i, size in enumerate(_SIZES)}
HIDDEN_UNITS = [256, 128, 64]
DIMENSION = 8
ROWS = 102_400
BATCH = 512


def data() -> tuple[dict[str, Any], np.ndarray]:
    """Features float32 and int64, labels int64 in 0..1 that depend on numbers and on frequent categories."""
    random = np.random.default_rng(60)
    features: dict[str, Any] = {name: random.normal(size=ROWS).astype(np.float32) for name in NUMBERS}
    score = sum(features[name] * weight for name, weight in zip(NUMBERS, random.normal(size=13), strict=True))
    for name, size in SIZES.items():
        # The logarithm of a category's rank is uniform: Zipf's law with exponent 1.
        ranks = np.exp(random.random(ROWS) * np.log(size)).astype(np.int64) - 1
        score = score + random.normal(size=64)[np.minimum(ranks, 63)]
        features[name] = ranks
    return features, (score > 0).astype(np.int64)


def estimator(library: Any, tf: Any, *, optimizer: Any, **common: Any) -> Any:
    fc = tf.feature_column
    wide = [fc.categorical_column_with_identity(name, size) for name, size in SIZES.items()]
    deep = [fc.numeric_column(name) for name in NUMBERS] + [fc.embedding_column(c, DIMENSION) for c in wide]
    return library.DNNLinearCombinedClassifier(
        linear_feature_columns=wide,
        dnn_feature_columns=deep,
        dnn_optimizer=optimizer,
        dnn_hidden_units=HIDDEN_UNITS,
        **common,
    )


WORKLOAD = Workload(data, BATCH, 0.01, estimator)
