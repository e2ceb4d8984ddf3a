"""The `tf.data` inputs that all systems share, in the idioms of the documentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def rows(features: dict[str, Any], labels: np.ndarray, batch: int) -> tf.data.Dataset:
    """Row by row for ever, batched."""
    return _batched(_slices(features, labels).repeat(), batch).prefetch(2)


def cached(features: dict[str, Any], labels: np.ndarray, batch: int) -> tf.data.Dataset:
    """Batches made once and kept."""
    return _batched(_slices(features, labels), batch).cache().repeat().prefetch(2)


def once(features: dict[str, Any], labels: np.ndarray, batch: int) -> tf.data.Dataset:
    """Batches of one pass."""
    return _batched(_slices(features, labels), batch)


def _slices(features: dict[str, Any], labels: np.ndarray) -> tf.data.Dataset:
    tensors = {
        name: tf.RaggedTensor.from_row_splits(tf.constant(column[0]), tf.constant(column[1]), validate=False)
        if isinstance(column, tuple)
        else column
        for name, column in features.items()
    }
    return tf.data.Dataset.from_tensor_slices((tensors, labels))


def _batched(dataset: tf.data.Dataset, batch: int) -> tf.data.Dataset:
    def sparse(features: dict[str, Any], labels: Any) -> Any:
        plain = {
            name: part.to_sparse() if isinstance(part, tf.RaggedTensor) else part for name, part in features.items()
        }
        return plain, labels

    if not any(isinstance(spec, tf.RaggedTensorSpec) for spec in dataset.element_spec[0].values()):
        return dataset.batch(batch)
    return (
        dataset.ragged_batch(batch).map(sparse)
        if hasattr(dataset, "ragged_batch")
        else dataset.batch(batch).map(sparse)
    )
