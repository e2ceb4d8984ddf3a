"""Keras 3 `fit` on today's TensorFlow: the best of its settings is 50 steps an execution, no JIT for small models."""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from typing import Any

import datasets
import keras
import numpy as np
import tensorflow as tf
import w3
import workload
from report import SteadyClock, result, task

STEPS_PER_EXECUTION = 50


class Clock(keras.callbacks.Callback):
    def __init__(self, clock: SteadyClock, last: int) -> None:
        super().__init__()
        self.clock, self.last = clock, last

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        step = batch + 1
        if step >= self.last or (not self.clock.marks and step >= self.clock.warm_up):
            self.clock.at(step)


def dataset(kind: str, features: dict[str, Any], labels: np.ndarray, batch: int) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False  # else closing the endless iterator may block for seconds
    made = getattr(datasets, kind)(features, labels, batch)
    return (made.map(hashed) if "tokens" in features else made).with_options(options)


def hashed(features: dict[str, Any], labels: Any) -> Any:
    tokens = features["tokens"]
    codes = tf.SparseTensor(
        tokens.indices, tf.strings.to_hash_bucket_fast(tokens.values, w3.BUCKETS) + 1, tokens.dense_shape
    )
    return {"tokens": tf.sparse.to_dense(codes)}, labels


def restore(net: keras.Model, weights: dict[str, list[str]], directory: str) -> None:
    start = tf.train.load_checkpoint(directory)
    for layer, names in weights.items():
        values = [start.get_tensor(name) for name in names]
        if layer == "embedding":  # row 0 is the padding
            values = [np.concatenate([np.zeros_like(values[0][:1]), values[0]])]
        net.get_layer(layer).set_weights(values)


def main() -> None:
    job = task()
    work = workload.find(job["workload"])
    features, labels = work.data()
    net = work.keras(keras)
    restore(net, work.weights, job["start"])
    net.compile(
        keras.optimizers.Adagrad(work.rate, 0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=min(STEPS_PER_EXECUTION, job["steps"] // 4),
        jit_compile=False,
    )
    clock = SteadyClock()
    data = dataset(job["input"], features, labels, work.batch)
    begin = time.perf_counter()
    net.fit(data, steps_per_epoch=job["steps"], epochs=1, verbose=0, callbacks=[Clock(clock, job["steps"])])
    seconds = time.perf_counter() - begin
    few = workload.head(features, labels, workload.COMPARED_BATCHES * work.batch)
    loss_end = net.evaluate(dataset("once", *few, work.batch), verbose=0)
    result(**clock.rates(), seconds=seconds, loss_end=float(loss_end))


main()
