"""Keras 3 `fit` on today's TensorFlow, with its best settings for a small model: 50 steps an execution, no JIT."""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import w1
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


def model() -> keras.Model:
    inputs = {name: keras.Input((), name=name) for name in w1.FEATURES}
    x = keras.layers.Concatenate()([keras.layers.Reshape((1,))(inputs[name]) for name in sorted(w1.FEATURES)])
    for i, units in enumerate(w1.HIDDEN_UNITS):
        x = keras.layers.Dense(units, activation="relu", name=f"hiddenlayer_{i}")(x)
    return keras.Model(inputs, keras.layers.Dense(w1.CLASSES, name="logits")(x))


def main() -> None:
    job = task()
    features, labels = w1.data()
    data = tf.data.Dataset.from_tensor_slices((features, labels))
    if job["workload"] == "w1_rows":
        data = data.repeat().batch(w1.BATCH).prefetch(2)
    else:
        data = data.batch(w1.BATCH).cache().repeat().prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False  # else closing the endless iterator may block for seconds
    net = model()
    start = tf.train.load_checkpoint(job["start"])
    for layer in net.layers:
        if layer.weights:
            layer.set_weights([start.get_tensor(f"dnn/{layer.name}/{kind}") for kind in ("kernel", "bias")])
    net.compile(
        keras.optimizers.Adagrad(w1.LEARNING_RATE, w1.ACCUMULATOR),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    clock = SteadyClock()
    begin = time.perf_counter()
    net.fit(
        data.with_options(options),
        steps_per_epoch=job["steps"],
        epochs=1,
        verbose=0,
        callbacks=[Clock(clock, job["steps"])],
    )
    seconds = time.perf_counter() - begin
    few = {name: column[: w1.COMPARED_ROWS] for name, column in features.items()}
    logits = np.asarray(net.predict(few, batch_size=w1.BATCH, verbose=0))
    losses = keras.losses.sparse_categorical_crossentropy(labels[: w1.COMPARED_ROWS], logits, from_logits=True)
    result(**clock.rates(), seconds=seconds, loss_end=float(np.mean(losses)))


main()
