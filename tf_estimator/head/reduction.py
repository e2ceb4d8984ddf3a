"""Reduction of a batch of losses to one number."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

SUM = "sum"
SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
WEIGHTED_MEAN = "weighted_mean"
SUM_BY_NONZERO_WEIGHTS = "weighted_sum_by_nonzero_weights"

# Names of `tf.keras.losses.Reduction`, of Keras 3 and of `tf.compat.v1.losses.Reduction`, in lower case.
_NAMES = {
    "sum": SUM,
    "weighted_sum": SUM,
    "auto": SUM_OVER_BATCH_SIZE,
    "mean": SUM_OVER_BATCH_SIZE,  # Keras 3's mean divides by the number of elements too
    "sum_over_batch_size": SUM_OVER_BATCH_SIZE,
    "weighted_sum_over_batch_size": SUM_OVER_BATCH_SIZE,
    "weighted_mean": WEIGHTED_MEAN,
    "mean_with_sample_weight": WEIGHTED_MEAN,
    "weighted_sum_by_nonzero_weights": SUM_BY_NONZERO_WEIGHTS,
}


def canonical_reduction(loss_reduction: Any) -> str:
    """One of this module's four names for any documented way to name a reduction.

    Raises:
        ValueError: an unknown name, or NONE, with which there would be no scalar to train on.
    """
    try:
        return _NAMES[str(loss_reduction).lower()]
    except KeyError:
        raise ValueError(
            f"Invalid loss_reduction: {loss_reduction!r}. Pass one of {SUM!r}, {SUM_OVER_BATCH_SIZE!r}, "
            f"{WEIGHTED_MEAN!r}, {SUM_BY_NONZERO_WEIGHTS!r}."
        ) from None


def reduce_loss(losses: Any, weights: Any, reduction: str) -> Any:
    """The scalar training loss.

    Args:
        losses: float tensor `[D0, …, DN, 1]` or `[D0, …, DN, logits_dimension]`.
        weights: None, or a float tensor that broadcasts to `losses`.
        reduction: a canonical name.
    """
    if weights is None:
        return tf.reduce_sum(losses) if reduction == SUM else tf.reduce_mean(losses)
    total = tf.reduce_sum(losses * weights)
    if reduction == SUM:
        return total
    if reduction == SUM_OVER_BATCH_SIZE:
        return total / tf.cast(tf.size(losses), tf.float32)
    spread = weights * tf.ones_like(losses)
    counted = spread if reduction == WEIGHTED_MEAN else tf.cast(tf.not_equal(spread, 0.0), tf.float32)
    return tf.math.divide_no_nan(total, tf.reduce_sum(counted))
