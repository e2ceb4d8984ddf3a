"""Layers over TensorFlow's own feature columns, with the variable names of old checkpoints."""

from workers.estimator.feature_column.dense import DenseInput
from workers.estimator.feature_column.dense_features import DenseFeatures
from workers.estimator.feature_column.linear import LinearModel
from workers.estimator.feature_column.sequence import SequenceFeatures, concatenate_context
from workers.estimator.feature_column.standardize import Standardize
from workers.estimator.feature_column.state import MissingFeatureError

__all__ = [
    "DenseFeatures",
    "DenseInput",
    "LinearModel",
    "MissingFeatureError",
    "SequenceFeatures",
    "Standardize",
    "concatenate_context",
]
