"""Layers over TensorFlow's own feature columns, with the variable names of old checkpoints."""

from .dense import DenseInput
from .dense_features import DenseFeatures
from .linear import LinearModel
from .sequence import SequenceFeatures, concatenate_context
from .standardize import Standardize
from .state import MissingFeatureError

__all__ = [
    "DenseFeatures",
    "DenseInput",
    "LinearModel",
    "MissingFeatureError",
    "SequenceFeatures",
    "Standardize",
    "concatenate_context",
]
