"""The peer: tf.estimator 2.15.1, in an environment of its own."""

from __future__ import annotations

import os
import shutil
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import w1
from report import SteadyClock, result, task

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)


class ClockHook(tf.compat.v1.train.SessionRunHook):
    """Counts steps itself, which costs about a microsecond a step, and reads the clock twice."""

    def __init__(self, clock: SteadyClock, last: int) -> None:
        self.clock, self.last, self.count = clock, last, 0

    def after_run(self, run_context: object, run_values: object) -> None:
        self.count += 1
        if self.count in (self.clock.warm_up, self.last):
            self.clock.at(self.count)


class LossEveryStepHook(tf.compat.v1.train.SessionRunHook):
    """What a user's hook does that reads the loss at every step."""

    def __init__(self) -> None:
        self.total = 0.0

    def before_run(self, run_context: object) -> object:
        return tf.compat.v1.train.SessionRunArgs(
            tf.compat.v1.get_default_graph().get_collection(tf.compat.v1.GraphKeys.LOSSES)[-1]
        )

    def after_run(self, run_context: object, run_values: object) -> None:
        self.total += float(run_values.results)


def main() -> None:
    job = task()
    features, labels = w1.data()
    columns = [tf.feature_column.numeric_column(name) for name in w1.FEATURES]

    def rows() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((features, labels)).repeat().batch(w1.BATCH).prefetch(2)

    def cached() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((features, labels)).batch(w1.BATCH).cache().repeat().prefetch(2)

    def compared() -> tf.data.Dataset:
        few = {name: column[: w1.COMPARED_ROWS] for name, column in features.items()}
        return tf.data.Dataset.from_tensor_slices((few, labels[: w1.COMPARED_ROWS])).batch(w1.BATCH)

    model_dir = f"{job['work']}/model"
    shutil.copytree(job["start"], model_dir)
    estimator = tf.estimator.DNNClassifier(
        w1.HIDDEN_UNITS,
        columns,
        model_dir,
        n_classes=w1.CLASSES,
        optimizer=tf.keras.optimizers.legacy.Adagrad(w1.LEARNING_RATE, w1.ACCUMULATOR),
    )
    clock = SteadyClock()
    hooks = [ClockHook(clock, job["steps"])]
    if job["workload"] == "w1_hook":
        hooks.append(LossEveryStepHook())
    input_fn = {"w1_rows": rows}.get(job["workload"], cached)
    begin = time.perf_counter()
    estimator.train(input_fn, max_steps=job["steps"], hooks=hooks)
    seconds = time.perf_counter() - begin
    loss_end = estimator.evaluate(compared)["loss"]
    result(**clock.rates(), seconds=seconds, loss_end=float(loss_end))


main()
