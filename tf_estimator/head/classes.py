"""Base of the heads of classes: the classes' names, and exports of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..export_output import ClassificationOutput, PredictOutput
from ..keys import PredictionKeys
from .base import CLASSIFICATION, PREDICT, SERVING_DEFAULT


def class_names(class_ids: Any, vocabulary: Sequence[str] | None) -> tf.Tensor:
    """Names of classes given by number: from the vocabulary, or the number as text."""
    if vocabulary is None:
        return tf.strings.as_string(class_ids)
    return tf.gather(tf.constant(list(vocabulary)), class_ids)


def all_class_ids(scores: Any, n_classes: int) -> tf.Tensor:
    """`[batch, n_classes]` int32, the numbers of all classes in every row of `scores`."""
    return _in_every_row(np.arange(n_classes, dtype=np.int32), scores)


def all_classes(scores: Any, n_classes: int, vocabulary: Sequence[str] | None) -> tf.Tensor:
    """`[batch, n_classes]` string, the names of all classes in every row of `scores`."""
    return _in_every_row(list(vocabulary) if vocabulary is not None else [str(i) for i in range(n_classes)], scores)


def _in_every_row(row: Any, scores: Any) -> tf.Tensor:
    if scores.shape.rank == 2 and scores.shape[1] == len(row):  # two operations instead of eight
        return tf.broadcast_to(tf.constant(row), tf.shape(scores))
    return tf.tile(tf.expand_dims(tf.constant(row), 0), [tf.shape(scores)[0], 1])


def classification_output(scores: Any, n_classes: int, vocabulary: Sequence[str] | None) -> ClassificationOutput:
    """All classes with their scores `[batch, n_classes]`."""
    return ClassificationOutput(scores=scores, classes=all_classes(scores, n_classes, vocabulary))


def class_outputs(
    predictions: dict[Any, tf.Tensor], n_classes: int, vocabulary: Sequence[str] | None
) -> dict[str, Any]:
    """The export outputs of a head that gives a score for each class, see `Head.export_outputs`."""
    classification = classification_output(predictions[PredictionKeys.PROBABILITIES], n_classes, vocabulary)
    return {
        SERVING_DEFAULT: classification,
        CLASSIFICATION: classification,
        PREDICT: PredictOutput(predictions),
    }
