"""Specs to parse `tf.Example`s that hold features, label and weight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf


def classifier_parse_example_spec(
    feature_columns: Iterable[Any],
    label_key: str,
    label_dtype: tf.DType = tf.int64,
    label_default: Any = None,
    weight_column: Any = None,
) -> dict[str, Any]:
    """The spec with which `tf.io.parse_example` reads examples for a classifier.

    Args:
        feature_columns: what the classifier was given.
        label_key: name of the label in the examples.
        label_dtype: its dtype; string together with a `label_vocabulary`.
        label_default: value where an example has no label; None makes that an error while parsing.
        weight_column: the classifier's: a name, or a `tf.feature_column.numeric_column`.

    Returns:
        name to `FixedLenFeature`, `VarLenFeature`, …; the label and weight have shape [1].

    Raises:
        ValueError: label or weight is also a feature, or the default does not fit the dtype.
        TypeError: `weight_column` is neither a name nor a numeric column.
    """
    label = tf.io.FixedLenFeature((1,), label_dtype, _default(label_default, label_dtype, 1))
    return _with_label_and_weight(feature_columns, label_key, label, weight_column)


def regressor_parse_example_spec(
    feature_columns: Iterable[Any],
    label_key: str,
    label_dtype: tf.DType = tf.float32,
    label_default: Any = None,
    label_dimension: int = 1,
    weight_column: Any = None,
) -> dict[str, Any]:
    """The spec with which `tf.io.parse_example` reads examples for a regressor.

    Args:
        feature_columns: what the regressor was given.
        label_key: name of the label in the examples.
        label_dtype: its dtype.
        label_default: value where an example has no label; None makes that an error while parsing.
        label_dimension: number of values of a label.
        weight_column: the regressor's: a name, or a `tf.feature_column.numeric_column`.

    Returns:
        name to `FixedLenFeature`, `VarLenFeature`, …; the label has shape [label_dimension], the weight [1].

    Raises:
        ValueError: label or weight is also a feature, or the default does not fit the dtype.
        TypeError: `weight_column` is neither a name nor a numeric column.
    """
    default = _default(label_default, label_dtype, label_dimension)
    label = tf.io.FixedLenFeature((label_dimension,), label_dtype, default)
    return _with_label_and_weight(feature_columns, label_key, label, weight_column)


def _with_label_and_weight(
    feature_columns: Iterable[Any], label_key: str, label: Any, weight_column: Any
) -> dict[str, Any]:
    spec: dict[str, Any] = dict(tf.feature_column.make_parse_example_spec(list(feature_columns)))
    if label_key in spec:
        raise ValueError(f"Label {label_key!r} is also a feature; rename one, or take it out of feature_columns.")
    spec[label_key] = label
    if weight_column is None:
        return spec
    if isinstance(weight_column, str):
        weight = {weight_column: tf.io.FixedLenFeature((1,), tf.float32)}
    elif isinstance(weight_column, type(tf.feature_column.numeric_column("weight"))):
        weight = dict(tf.feature_column.make_parse_example_spec([weight_column]))
    else:
        raise TypeError(f"weight_column must be a name or a numeric_column, not {weight_column!r}.")
    both = sorted(set(weight) & set(spec))
    if both:
        raise ValueError(f"Weight {both[0]!r} is also a feature or the label; give the weight a name of its own.")
    spec.update(weight)
    return spec


def _default(value: Any, dtype: tf.DType, dimension: int) -> Any:
    if value is None:
        return None
    values = list(value) if isinstance(value, list | tuple) else [value] * dimension
    try:
        # A rounding conversion (0.5 for an integer label) is refused here, too.
        tf.constant(values, dtype, shape=(dimension,))
    except (TypeError, ValueError) as error:
        raise ValueError(f"label_default {value!r} is no {dtype.name} of shape [{dimension}].") from error
    return values
