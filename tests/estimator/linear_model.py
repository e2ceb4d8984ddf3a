"""A model small enough to compute by hand: y = x·w, squared error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tf_estimator as est

v1 = tf.compat.v1

X = np.random.RandomState(0).randn(64, 3).astype(np.float32)
Y = (X @ np.array([[1.0], [-2.0], [0.5]], np.float32)).astype(np.float32)


def model_fn(features: Any, labels: Any, mode: str, params: Any) -> est.EstimatorSpec:
    """Params: rate (learning rate), optimizer ("sgd" or "adam"), noise (adds random numbers to the input)."""
    x = features["x"] if isinstance(features, dict) else features
    w = v1.get_variable("w", [3, 1], initializer=v1.zeros_initializer())
    predicted = x @ w
    if mode == est.ModeKeys.PREDICT:
        return est.EstimatorSpec(mode, predictions={"y": predicted, "twice": 2 * predicted})
    loss = tf.reduce_mean((predicted - labels) ** 2)
    if mode == est.ModeKeys.EVAL:
        metrics = {"mae": v1.metrics.mean_absolute_error(labels, predicted)}
        return est.EstimatorSpec(mode, loss=loss, eval_metric_ops=metrics)
    v1.summary.scalar("size", tf.norm(w))
    rate = params.get("rate", 0.1)
    optimizer = (
        v1.train.AdamOptimizer(rate) if params.get("optimizer") == "adam" else v1.train.GradientDescentOptimizer(rate)
    )
    return est.EstimatorSpec(mode, loss=loss, train_op=optimizer.minimize(loss, v1.train.get_global_step()))


def make(directory: Path | str, *, model: Any = model_fn, params: Any = None, **config: Any) -> est.Estimator:
    return est.Estimator(model, str(directory), est.RunConfig(tf_random_seed=7, **config), params=params)


def rows(epochs: int | None = None, batch: int = 16) -> Any:
    return lambda: tf.data.Dataset.from_tensor_slices(({"x": X}, Y)).batch(batch).repeat(epochs)


def by_hand(steps: int, rate: float = 0.1, batch: int = 16, w: Any = None) -> Any:
    """w after so many steps of gradient descent: the gradient of mean((xw - y)²) is 2/n · xᵀ(xw - y)."""
    w = np.zeros([3, 1], np.float32) if w is None else w
    for step in range(steps):
        start = step * batch % len(X)
        x, y = X[start : start + batch], Y[start : start + batch]
        w = w - rate * 2 / batch * x.T @ (x @ w - y)
    return w
