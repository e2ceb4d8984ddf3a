"""Ours: the whole `Estimator.train` path with its default hooks."""

from __future__ import annotations

import os
import shutil
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import w1
from report import SteadyClock, result, task

from workers import estimator as est


class ClockHook(tf.compat.v1.train.SessionRunHook):
    """Wants to be called twice only; the loop runs in the graph in between."""

    def __init__(self, clock: SteadyClock, last: int) -> None:
        self.clock, self.wanted = clock, [clock.warm_up, last]

    def next_step(self, global_step: int) -> int | None:
        return next((step for step in self.wanted if step > global_step), None)

    def before_run(self, run_context: object) -> object:
        return tf.compat.v1.train.SessionRunArgs(tf.compat.v1.train.get_global_step())

    def after_run(self, run_context: object, run_values: object) -> None:
        if int(run_values.results) in self.wanted:
            self.clock.at(int(run_values.results))


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

    def dataset() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((features, labels))

    input_fns = {
        "w1_columns": est.inputs.columns_input_fn(features, labels, batch_size=w1.BATCH, shuffle=True, seed=1),
        "w1_rows": lambda: dataset().repeat().batch(w1.BATCH).prefetch(2),
        "w1_cached": lambda: dataset().batch(w1.BATCH).cache().repeat().prefetch(2),
    }
    model_dir = f"{job['work']}/model"
    shutil.copytree(job["start"], model_dir)
    estimator = est.DNNClassifier(
        w1.HIDDEN_UNITS,
        columns,
        model_dir,
        n_classes=w1.CLASSES,
        optimizer=tf.keras.optimizers.Adagrad(w1.LEARNING_RATE, w1.ACCUMULATOR),
    )
    clock = SteadyClock()
    hooks: list[object] = [ClockHook(clock, job["steps"])]
    if job["workload"] == "w1_hook":
        hooks.append(LossEveryStepHook())
    begin = time.perf_counter()
    estimator.train(input_fns.get(job["workload"], input_fns["w1_cached"]), max_steps=job["steps"], hooks=hooks)
    seconds = time.perf_counter() - begin
    few = {name: column[: w1.COMPARED_ROWS] for name, column in features.items()}
    compared = est.inputs.columns_input_fn(few, labels[: w1.COMPARED_ROWS], batch_size=w1.BATCH, num_epochs=1)
    loss_end = estimator.evaluate(compared)["loss"]
    result(**clock.rates(), seconds=seconds, loss_end=float(loss_end))


main()
