"""Runs what a function builds in a graph of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1


def in_graph(build: Callable[[], Any], runs: int = 1) -> Any:
    """Builds in a new graph, initializes all, and returns what the `runs`-th run of the built nest gives."""
    with tf.Graph().as_default():
        fetches = build()
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.local_variables_initializer(), v1.tables_initializer()])
            for _ in range(runs):
                result = session.run(fetches)
            return result


def metric_values(update: Callable[[], dict[str, Any]]) -> dict[str, float]:
    """Builds metrics that were updated with one batch, runs the updates once and returns the values."""
    with tf.Graph().as_default():
        metrics = update()
        with v1.Session() as session:
            session.run([v1.local_variables_initializer(), v1.tables_initializer()])
            session.run([metric.updates for metric in metrics.values()])
            return {name: float(session.run(metric.result())) for name, metric in metrics.items()}
