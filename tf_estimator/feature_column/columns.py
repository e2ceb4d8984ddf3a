"""TensorFlow's feature columns under the engine's name.

They are the functions of `tf.feature_column` themselves, without the wrapper that advises at each first use to leave
them: the engine keeps them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def _plain(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = inspect.unwrap(getattr(tf.feature_column, name))
    return found


bucketized_column = _plain("bucketized_column")
categorical_column_with_hash_bucket = _plain("categorical_column_with_hash_bucket")
categorical_column_with_identity = _plain("categorical_column_with_identity")
categorical_column_with_vocabulary_file = _plain("categorical_column_with_vocabulary_file")
categorical_column_with_vocabulary_list = _plain("categorical_column_with_vocabulary_list")
crossed_column = _plain("crossed_column")
embedding_column = _plain("embedding_column")
indicator_column = _plain("indicator_column")
make_parse_example_spec = _plain("make_parse_example_spec")
numeric_column = _plain("numeric_column")
sequence_categorical_column_with_hash_bucket = _plain("sequence_categorical_column_with_hash_bucket")
sequence_categorical_column_with_identity = _plain("sequence_categorical_column_with_identity")
sequence_categorical_column_with_vocabulary_file = _plain("sequence_categorical_column_with_vocabulary_file")
sequence_categorical_column_with_vocabulary_list = _plain("sequence_categorical_column_with_vocabulary_list")
sequence_numeric_column = _plain("sequence_numeric_column")
shared_embeddings = _plain("shared_embeddings")
weighted_categorical_column = _plain("weighted_categorical_column")
