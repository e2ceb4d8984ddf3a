"""Checks of what a head is given. Where shapes are known when the graph is built they cost nothing at run time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..errors import MissingFeatureError


def checked_logits(logits: Any, dimension: int) -> tf.Tensor:
    """Logits as float32 `[D0, …, DN, dimension]`.

    Raises:
        ValueError: the rank is below 2 or the last dimension another.
    """
    logits = tf.cast(logits, tf.float32)
    shape = logits.shape
    if shape.rank is None:
        last = tf.shape(logits)[-1:]
        return _asserted(
            logits,
            tf.reduce_all(tf.equal(last, [dimension])) & (tf.rank(logits) > 1),
            [
                f"logits shape must be [D0, D1, ... DN, logits_dimension] with logits_dimension={dimension}, got",
                tf.shape(logits),
            ],
        )
    if shape.rank < 2 or shape[-1] not in {None, dimension}:
        raise ValueError(
            f"logits shape must be [D0, D1, ... DN, logits_dimension] with logits_dimension={dimension}, got {shape}. "
            "Give the last layer head.logits_dimension units."
        )
    return tf.ensure_shape(logits, [*shape[:-1], dimension]) if shape[-1] is None else logits


def checked_labels(labels: Any, logits: Any, dimension: int) -> tf.Tensor:
    """Dense labels as `[D0, …, DN, dimension]`, where `logits` is `[D0, …, DN, …]`.

    Labels that lack the last dimension get one of size 1.

    Raises:
        ValueError: labels are None, sparse without exactly one value a row, or of another shape.
    """
    if labels is None:
        raise ValueError(
            "You must provide a labels Tensor. Given: None. Usually this means that input_fn returned no labels "
            "(it must return features and labels for train and evaluate)."
        )
    if isinstance(labels, tf.sparse.SparseTensor):
        labels = _one_per_row(labels, dimension)
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank is not None and labels.shape.rank == (logits.shape.rank or 0) - 1:
        labels = tf.expand_dims(labels, -1)
    if logits.shape.rank is None:
        expected = tf.concat([tf.shape(logits)[:-1], [dimension]], 0)
        fits = tf.logical_and(
            tf.equal(tf.rank(labels), tf.size(expected)),
            # Of another rank they can't be compared number by number.
            tf.reduce_all(tf.equal(tf.shape(labels)[: tf.size(expected)], expected[: tf.rank(labels)])),
        )
        text = f"labels shape must be [D0, D1, ... DN, {dimension}] to go with the logits. Expected and got:"
        return _asserted(labels, fits, [text, expected, tf.shape(labels)])
    wanted = [*logits.shape[:-1], dimension]
    if not labels.shape.is_compatible_with(wanted):
        raise ValueError(
            f"labels shape must be [D0, D1, ... DN, {dimension}] to go with logits of shape {logits.shape}. "
            f"Mismatched label shape: expected {tf.TensorShape(wanted)}, got {labels.shape}."
        )
    known = labels.shape.rank is not None and labels.shape[-1] is not None
    return labels if known else tf.ensure_shape(labels, wanted)


def _asserted(tensor: Any, condition: Any, data: list[Any]) -> tf.Tensor:
    """`tensor`, once `condition` has been found true at run time; else InvalidArgumentError with `data`."""
    # The raw op: tf.debugging.Assert would put the check behind a conditional, which costs more than the check.
    check = tf.raw_ops.Assert(condition=condition, data=data, summarize=10)
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def _one_per_row(labels: Any, dimension: int) -> tf.Tensor:
    rows = labels.dense_shape[0]
    with tf.control_dependencies(
        [
            tf.debugging.assert_equal(
                labels.indices[:, 0] if dimension == 1 else tf.shape(labels.values, tf.int64)[0],
                tf.range(rows) if dimension == 1 else rows * dimension,
                message=f"SparseTensor labels must hold {dimension} value(s) in each row.",
            )
        ]
    ):
        return tf.reshape(labels.values, [-1, dimension])


def checked_range(labels: Any, n_classes: int, message: str) -> tf.Tensor:
    """`labels`, checked at run time to lie in [0, n_classes - 1]; else InvalidArgumentError with `message`."""
    inside = tf.reduce_all((labels >= 0) & (labels <= tf.cast(n_classes - 1, labels.dtype)))
    return _asserted(labels, inside, [message, "labels:", labels])


def label_ids(labels: Any, vocabulary: Sequence[str]) -> tf.Tensor:
    """Position in `vocabulary` of string labels, int64; -1 for one that is not in it.

    Raises:
        ValueError: labels are no strings.
    """
    if labels.dtype != tf.string:
        raise ValueError(
            f"Labels dtype should be string since there is a vocabulary. Instead got {labels.dtype}. "
            "Leave label_vocabulary out for labels that are class numbers."
        )
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(list(vocabulary), tf.range(len(vocabulary), dtype=tf.int64)), -1
    )
    return table.lookup(labels)


def checked_weights(
    features: Mapping[str, Any] | None, weight_column: Any, logits: Any, per_logit: bool = False
) -> tf.Tensor | None:
    """The weight column's values as float32 `[D0, …, DN, 1]`, or None without a column.

    Args:
        weight_column: a feature's key, or a `tf.feature_column.numeric_column`, whose normalizer is applied.
        per_logit: whether `[D0, …, DN, logits_dimension]` is allowed too.

    Raises:
        TypeError: the column is something else.
        KeyError: features do not hold it.
        ValueError: it has no numbers, or another shape.
    """
    if weight_column is None:
        return None
    key = weight_column if isinstance(weight_column, str) else getattr(weight_column, "key", None)
    if key is None or not (isinstance(weight_column, str) or hasattr(weight_column, "normalizer_fn")):
        raise TypeError(f"Weight column must be either a string or numeric_column. Given type: {type(weight_column)}.")
    if not isinstance(features, Mapping) or key not in features:
        raise MissingFeatureError(
            f"The weight column {key!r} is not in features; let input_fn return it beside the others."
        )
    weights = features[key]
    if isinstance(weights, tf.sparse.SparseTensor):
        weights = tf.sparse.to_dense(weights)
    normalize = getattr(weight_column, "normalizer_fn", None)
    weights = tf.convert_to_tensor(weights)
    weights = normalize(weights) if normalize else weights
    if not (weights.dtype.is_floating or weights.dtype.is_integer):
        raise ValueError(f"Weight column should be castable to float. Given dtype: {weights.dtype}.")
    return _shaped_weights(tf.cast(weights, tf.float32), logits, per_logit)


def _shaped_weights(weights: Any, logits: Any, per_logit: bool) -> tf.Tensor:
    if weights.shape.rank is not None and weights.shape.rank == (logits.shape.rank or 0) - 1:
        weights = tf.expand_dims(weights, -1)
    batch = [*logits.shape[:-1]] if logits.shape.rank is not None else None
    if batch is None:
        return weights
    allowed = [[*batch, 1]] + ([[*batch, logits.shape[-1]]] if per_logit else [])
    if not any(weights.shape.is_compatible_with(shape) for shape in allowed):
        also = " or [D0, D1, ... DN, logits_dimension]" if per_logit else ""
        raise ValueError(
            f"weights shape must be [D0, D1, ... DN] or [D0, D1, ... DN, 1]{also}. "
            f"Got {weights.shape} for logits of shape {logits.shape}."
        )
    known = per_logit or (weights.shape.rank is not None and weights.shape[-1] is not None)
    return weights if known else tf.ensure_shape(weights, allowed[0])


def checked_loss_fn(loss_fn: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """`loss_fn`, if its arguments are labels, logits and perhaps features and loss_reduction.

    Raises:
        ValueError: an argument is missing or unknown.
    """
    if loss_fn is None:
        return None
    names = list(inspect.signature(loss_fn).parameters)
    for needed in ("labels", "logits"):
        if needed not in names:
            raise ValueError(f"loss_fn must contain argument: {needed}. Given arguments: {names}.")
    unknown = sorted(set(names) - {"labels", "logits", "features", "loss_reduction"})
    if unknown:
        raise ValueError(f"loss_fn has unexpected args: {unknown}. Take labels, logits and, if wanted, features.")
    return loss_fn


def call_loss_fn(
    loss_fn: Callable[..., Any], labels: Any, logits: Any, features: Any, reduction: str, dimension: int = 1
) -> tf.Tensor:
    """The losses of a user's function, `[D0, …, DN, dimension]`.

    Raises:
        ValueError: they have another shape.
    """
    offered = {"features": features, "loss_reduction": reduction}
    names = inspect.signature(loss_fn).parameters
    losses = loss_fn(labels=labels, logits=logits, **{k: v for k, v in offered.items() if k in names})
    losses = tf.convert_to_tensor(losses)
    wanted = [*logits.shape[:-1], dimension]
    if not losses.shape.is_compatible_with(wanted):
        raise ValueError(
            f"loss_fn must return Tensor of shape [D0, D1, ... DN, {dimension}]. "
            f"logits shape: {logits.shape}, loss shape: {losses.shape}."
        )
    return tf.ensure_shape(losses, wanted)


def checked_thresholds(thresholds: Iterable[float] | None) -> tuple[float, ...]:
    """The thresholds as a tuple.

    Raises:
        ValueError: one is not between 0 and 1.
    """
    checked = tuple(thresholds or ())
    for threshold in checked:
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"thresholds must be in (0, 1) range. Given: {threshold}.")
    return checked


def checked_vocabulary(label_vocabulary: Sequence[str] | None, n_classes: int) -> tuple[str, ...] | None:
    """The vocabulary as a tuple, or None.

    Raises:
        ValueError: not a list or tuple, or not one name per class.
    """
    if label_vocabulary is None:
        return None
    if not isinstance(label_vocabulary, (list, tuple)):
        raise ValueError(f"label_vocabulary must be a list or tuple. Given type: {type(label_vocabulary)}.")
    if len(label_vocabulary) != n_classes:
        raise ValueError(f"Length of label_vocabulary must be n_classes ({n_classes}). Given: {len(label_vocabulary)}.")
    if len(set(label_vocabulary)) != n_classes:
        raise ValueError("label_vocabulary names a class twice; give each class one name.")
    return tuple(label_vocabulary)
