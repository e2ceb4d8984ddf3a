"""What an operator installs: a distribution with a `model_fn` behind an entry point. Copied beside its metadata into a
directory of its own, which stands on the workers' path."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

import tf_estimator as est


def line(features: Any, labels: Any, mode: str, params: Any) -> Any:
    """A straight line through one feature."""
    x = tf.cast(features[params["feature"]], tf.float32)
    slope = tf.compat.v1.get_variable("slope", [], initializer=tf.compat.v1.zeros_initializer())
    offset = tf.compat.v1.get_variable("offset", [], initializer=tf.compat.v1.zeros_initializer())
    y = slope * x + offset
    if mode == est.ModeKeys.PREDICT:
        return est.EstimatorSpec(mode, predictions={"y": y[:, tf.newaxis]})
    loss = tf.reduce_mean(tf.square(y - tf.cast(tf.reshape(labels, [-1]), tf.float32)))
    if mode == est.ModeKeys.EVAL:
        return est.EstimatorSpec(mode, loss=loss)
    step = tf.compat.v1.train.get_global_step()
    optimizer = tf.compat.v1.train.GradientDescentOptimizer(params["rate"])
    return est.EstimatorSpec(mode, loss=loss, train_op=optimizer.minimize(loss, global_step=step))


line.params_schema = {  # type: ignore[attr-defined]
    "type": "object",
    "properties": {"feature": {"type": "string"}, "rate": {"type": "number", "exclusiveMinimum": 0}},
    "required": ["feature", "rate"],
}
