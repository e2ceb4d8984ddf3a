"""TensorFlow's feature columns, and layers over them with the variable names of old checkpoints.

May import of the engine's folders: `graph`. Start with `dense.py`.
"""

from ..errors import MissingFeatureError
from .columns import (
    bucketized_column,
    categorical_column_with_hash_bucket,
    categorical_column_with_identity,
    categorical_column_with_vocabulary_file,
    categorical_column_with_vocabulary_list,
    crossed_column,
    embedding_column,
    indicator_column,
    make_parse_example_spec,
    numeric_column,
    sequence_categorical_column_with_hash_bucket,
    sequence_categorical_column_with_identity,
    sequence_categorical_column_with_vocabulary_file,
    sequence_categorical_column_with_vocabulary_list,
    sequence_numeric_column,
    shared_embeddings,
    weighted_categorical_column,
)
from .dense import DenseInput
from .dense_features import DenseFeatures
from .linear_model import LinearModel
from .sequence import SequenceFeatures, concatenate_context
from .standardize import Standardize

__all__ = [
    "DenseFeatures",
    "DenseInput",
    "LinearModel",
    "MissingFeatureError",
    "SequenceFeatures",
    "Standardize",
    "concatenate_context",
    "bucketized_column",
    "categorical_column_with_hash_bucket",
    "categorical_column_with_identity",
    "categorical_column_with_vocabulary_file",
    "categorical_column_with_vocabulary_list",
    "crossed_column",
    "embedding_column",
    "indicator_column",
    "make_parse_example_spec",
    "numeric_column",
    "sequence_categorical_column_with_hash_bucket",
    "sequence_categorical_column_with_identity",
    "sequence_categorical_column_with_vocabulary_file",
    "sequence_categorical_column_with_vocabulary_list",
    "sequence_numeric_column",
    "shared_embeddings",
    "weighted_categorical_column",
]
