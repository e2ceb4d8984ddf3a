"""Layers over TensorFlow's own feature columns, with the variable names of old checkpoints.

May import of the engine's folders: nothing. Start with `dense.py`.
"""

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
