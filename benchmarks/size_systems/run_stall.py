"""How long a training stands still for a checkpoint of a model of so many megabytes, written in its thread or not.

Each step reads the clock, so that the longest gap between two steps can be told. The driver runs one without saves too.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from typing import Any

import numpy as np
import tensorflow as tf
from report import result, task

import tf_estimator as est
from tf_estimator.training import saver

v1 = tf.compat.v1
v1.logging.set_verbosity(v1.logging.ERROR)
WIDTH, BATCH, ROWS = 256, 128, 4096


def model_fn(features: Any, labels: Any, mode: str, params: Any) -> est.EstimatorSpec:
    """A table of half of the megabytes and its Adagrad sums, of which a step changes 128 rows."""
    table = v1.get_variable("table", [params["height"], WIDTH])
    weights = v1.get_variable("weights", [WIDTH, 1])
    loss = tf.reduce_mean((tf.gather(table, features["row"]) @ weights - labels) ** 2)
    optimizer = v1.train.AdagradOptimizer(0.01)
    return est.EstimatorSpec(mode, loss=loss, train_op=optimizer.minimize(loss, v1.train.get_global_step()))


class Clock(v1.train.SessionRunHook):
    """Notes the time after every step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.times.append(time.perf_counter())


def main() -> None:
    job = task()
    saver.BACKGROUND_BYTES = 0
    height = max(int(job["megabytes"] * 2**20 / 4 / 2 / WIDTH), 1)
    random = np.random.default_rng(0)
    features = {"row": random.integers(0, height, ROWS)}
    labels = random.normal(size=(ROWS, 1)).astype(np.float32)
    config = est.RunConfig(
        tf_random_seed=1,
        save_checkpoints_steps=job["save_steps"],
        save_checkpoints_secs=None,
        save_summary_steps=None,
        log_step_count_steps=None,
        background_checkpoints=job["background"],
    )
    clock = Clock()
    estimator = est.Estimator(model_fn, job["work"], config, params={"height": height})
    input_fn = est.inputs.columns_input_fn(features, labels, batch_size=BATCH, shuffle=True, seed=1)
    estimator.train(input_fn, max_steps=job["steps"], hooks=[clock])
    # The first steps, in which functions are made and the first checkpoint is written, are left out, and so is the end.
    times = np.array(clock.times[job["steps"] // 8 :])
    result(longest_ms=1e3 * float(np.diff(times).max()), wall_s=float(times[-1] - times[0]))


main()
