"""What a workload is: data, columns, model and sizes. Imports numpy only; TensorFlow is handed in, old or new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: `loss_end` is the mean loss over so many first batches.
COMPARED_BATCHES = 50


@dataclass(frozen=True)
class Workload:
    """One model with its data.

    Attributes:
        data: makes (features, labels). A feature is an array, or (values, row_splits) for a sequence.
        batch: rows per batch.
        rate: learning rate of Adagrad, whose accumulators start at 0.1.
        estimator: `estimator(library, tf, **common)` makes the model with the names that `tf.estimator` uses;
            `library` is `tf.estimator` or ours.
        keras: `keras(keras)` makes the same model, layers named so that `weights` finds their start; None without one.
        weights: Keras layer to the names of its weights in the starting checkpoint.
    """

    data: Callable[[], tuple[dict[str, Any], np.ndarray]]
    batch: int
    rate: float
    estimator: Callable[..., Any]
    keras: Callable[[Any], Any] | None = None
    weights: dict[str, list[str]] = field(default_factory=dict)


def find(name: str) -> Workload:
    """The workload of a row of the table: `w1_cached` and `evaluate` are W1, `w3_gru` is W3 with GRU cells."""
    import w1
    import w2
    import w3
    import w4

    if name.startswith("w2"):
        return w2.WORKLOAD
    if name.startswith("w3"):
        return w3.GRU if "gru" in name else w3.LSTM
    return w4.WORKLOAD if name.startswith("w4") else w1.WORKLOAD


def head(features: dict[str, Any], labels: np.ndarray, rows: int) -> tuple[dict[str, Any], np.ndarray]:
    """The first `rows` rows."""
    few = {}
    for name, column in features.items():
        if isinstance(column, tuple):
            values, splits = column
            few[name] = (values[: splits[rows]], splits[: rows + 1])
        else:
            few[name] = column[:rows]
    return few, labels[:rows]
