"""Keras 3 `fit` on today's TensorFlow with the best of its settings, which a short run of each finds.

XLA compiles for one shape of batch, so where `jit_compile` is on, sequences are padded to the same length.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from dataclasses import dataclass
from typing import Any

import datasets
import keras
import numpy as np
import tensorflow as tf
import w3
import workload
from report import SteadyClock, result, task

PADDED = 64
TRIED_EXECUTIONS = 3


@dataclass(frozen=True)
class Setting:
    """How `fit` runs: steps an execution, and whether XLA compiles them."""

    steps: int
    jit: bool


class Clock(keras.callbacks.Callback):
    """Marks the end of each execution; `fit` calls it once per execution."""

    def __init__(self, clock: SteadyClock) -> None:
        super().__init__()
        self.clock = clock

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.clock.at(batch + 1)


def dataset(kind: str, features: dict[str, Any], labels: np.ndarray, batch: int, padded: bool) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False  # else closing the endless iterator may block for seconds
    made = getattr(datasets, kind)(features, labels, batch)
    if "tokens" in features:
        made = made.map(lambda given, answers: hashed(given, answers, batch if padded else None))
    return made.with_options(options)


def hashed(features: dict[str, Any], labels: Any, rows: int | None) -> Any:
    tokens = features["tokens"]
    codes = tf.SparseTensor(
        tokens.indices, tf.strings.to_hash_bucket_fast(tokens.values, w3.BUCKETS) + 1, tokens.dense_shape
    )
    if rows is None:
        return {"tokens": tf.sparse.to_dense(codes)}, labels
    dense = tf.sparse.to_dense(tf.sparse.reset_shape(codes, [rows, PADDED]))
    return {"tokens": tf.ensure_shape(dense, [rows, PADDED])}, tf.ensure_shape(labels, [rows])


def restore(net: keras.Model, weights: dict[str, list[str]], directory: str) -> None:
    start = tf.train.load_checkpoint(directory)
    for layer, names in weights.items():
        values = [start.get_tensor(name) for name in names]
        if layer == "embedding":  # row 0 is the padding
            values = [np.concatenate([np.zeros_like(values[0][:1]), values[0]])]
        net.get_layer(layer).set_weights(values)


class Run:
    """One workload's training by `fit`."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.work = job, workload.find(job["workload"])
        self.features, self.labels = self.work.data()

    def settings(self) -> list[Setting]:
        """One step an execution, many, and many that XLA compiles, which can't be where the model hashes strings."""
        many = max(min(50, self.job["steps"] // 4), 1)
        strings = any(getattr(column, "dtype", None) == np.dtype(object) for column in self.features.values())
        return [Setting(1, False), Setting(many, False), *([] if strings else [Setting(many, True)])]

    def best(self) -> Setting:
        """The setting with the most steps per second in a short run, its first execution left out."""
        rates = {}
        for setting in self.settings():
            _, clock, _ = self.fit(setting, max(TRIED_EXECUTIONS, 30 // setting.steps) * setting.steps)
            rates[setting] = clock.rates()["steps_per_s"]
        return max(rates, key=lambda setting: rates[setting])

    def fit(self, setting: Setting, steps: int) -> tuple[Any, SteadyClock, float]:
        """A new model after so many steps, the clock's marks, and seconds."""
        keras.backend.clear_session()
        net = self.work.keras(keras)
        restore(net, self.work.weights, self.job["start"])
        net.compile(
            keras.optimizers.Adagrad(self.work.rate, 0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=setting.steps,
            jit_compile=setting.jit,
        )
        clock = SteadyClock()
        data = dataset(self.job["input"], self.features, self.labels, self.work.batch, setting.jit)
        begin = time.perf_counter()
        net.fit(data, steps_per_epoch=steps, epochs=1, verbose=0, callbacks=[Clock(clock)])
        return net, clock, time.perf_counter() - begin

    def loss(self, net: Any, padded: bool) -> float:
        few = workload.head(self.features, self.labels, workload.COMPARED_BATCHES * self.work.batch)
        return float(net.evaluate(dataset("once", *few, self.work.batch, padded), verbose=0))


def main() -> None:
    run = Run(task())
    setting = run.best()
    net, clock, seconds = run.fit(setting, run.job["steps"])
    warm = [mark for mark in clock.marks if mark[0] >= min(clock.warm_up, run.job["steps"] // 4)]
    clock.marks = [warm[0], warm[-1]]
    how = f"{setting.steps} steps an execution{', jit_compile' if setting.jit else ''}"
    result(**clock.rates(), seconds=seconds, loss_end=run.loss(net, setting.jit), setting=how)


main()
