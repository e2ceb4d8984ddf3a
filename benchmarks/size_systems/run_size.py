"""One training of `COLUMNS` numeric columns times `ROWS` rows: ours, or a gather loop written by hand.

The data are made here: arrays in memory, or memory maps of files in the task's `data` directory.
"""

from __future__ import annotations

import itertools
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from clock_hooks import AskingClock
from report import SteadyClock, peak_mb, result, task

import tf_estimator as est
from tf_estimator.inputs import column_packing

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)

BATCH, HIDDEN_UNITS, CLASSES, CALL = 128, [64, 32], 3, 50


def column(number: int, rows: int) -> np.ndarray:
    """float32 [rows], between -1 and 1, different for each column, made faster than random numbers."""
    return ((np.arange(rows, dtype=np.int64) * (2 * number + 1) % 2003).astype(np.float32) - 1001) / 1001


def data(job: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
    """Features by name, and labels int64 [rows] in 0..2."""
    rows, labels = job["rows"], (np.arange(job["rows"], dtype=np.int64) * 7919) % CLASSES
    if job["source"] == "memory":
        return {f"x{i:04}": column(i, rows) for i in range(job["columns"])}, labels
    features = {}
    for i in range(job["columns"]):
        path = Path(job["data"]) / f"{i}-{rows}.npy"
        if not path.exists():
            np.save(path, column(i, rows))
        features[f"x{i:04}"] = np.load(path, mmap_mode="r")
    return features, labels


def ours(job: dict[str, Any], features: dict[str, Any], labels: np.ndarray, clock: SteadyClock) -> None:
    columns = [tf.feature_column.numeric_column(name) for name in features]
    config = est.RunConfig(tf_random_seed=1)
    estimator = est.DNNClassifier(HIDDEN_UNITS, columns, job["work"], n_classes=CLASSES, config=config)
    taken = {"take_over": True} if job.get("take_over") else {}
    input_fn = est.inputs.columns_input_fn(features, labels, batch_size=BATCH, shuffle=True, seed=1, **taken)
    estimator.train(input_fn, max_steps=job["steps"], hooks=[AskingClock(clock, job["steps"])])


def limit(job: dict[str, Any], features: dict[str, Any], labels: np.ndarray, clock: SteadyClock) -> None:
    """Gathers from one matrix in the graph, in an order that numpy permutes, and steps with plain Adagrad."""
    names = sorted(features)
    matrix = np.empty((job["rows"], len(names)), np.float32)
    for i, name in enumerate(names):
        matrix[:, i] = features.pop(name)
    table, targets = tf.constant(matrix), tf.constant(labels)
    del matrix
    sizes = [len(names), *HIDDEN_UNITS, CLASSES]
    random = np.random.default_rng(1)
    variables = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        scale = (6 / (fan_in + fan_out)) ** 0.5
        variables += [
            random.uniform(-scale, scale, (fan_in, fan_out)).astype(np.float32),
            np.zeros(fan_out, np.float32),
        ]
    variables = [tf.Variable(value) for value in variables]
    sums = [tf.Variable(tf.fill(v.shape, 0.1)) for v in variables]

    def step(batch: tf.Tensor, answers: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            net = batch
            for layer in range(0, len(variables), 2):
                net = tf.nn.bias_add(tf.matmul(net, variables[layer]), variables[layer + 1])
                net = tf.nn.relu(net) if layer < len(variables) - 2 else net
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=answers, logits=net))
        for variable, total, gradient in zip(variables, sums, tape.gradient(loss, variables), strict=True):
            tf.raw_ops.ResourceApplyAdagradV2(
                var=variable.handle, accum=total.handle, lr=0.001, epsilon=1e-7, grad=gradient
            )
        return loss

    @tf.function(autograph=False)
    def call(order: tf.Tensor) -> tf.Tensor:
        def once(i: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = order[i]
            return i + 1, step(tf.gather(table, rows), tf.gather(targets, rows))

        return tf.while_loop(lambda i, _: i < tf.shape(order)[0], once, (0, 0.0), parallel_iterations=1)[1]

    left, done = np.empty(0, np.int32), 0
    while done < job["steps"]:
        while len(left) < CALL * BATCH:
            left = np.concatenate([left, random.permutation(job["rows"]).astype(np.int32)])
        call(left[: CALL * BATCH].reshape(CALL, BATCH))
        left, done = left[CALL * BATCH :], done + CALL
        clock.at(done)


def main() -> None:
    job = task()
    column_packing.RESIDENT_BYTES = job.get("resident", column_packing.RESIDENT_BYTES)
    features, labels = data(job)
    bare = peak_mb()
    clock = SteadyClock(CALL)
    begin, processor = time.perf_counter(), time.process_time()
    {"ours": ours, "limit": limit}[job["system"]](job, features, labels, clock)
    first = clock.marks[0]
    set_up = {"set_up_s": first[1] - begin, "set_up_cpu_s": first[2] - processor}
    result(**clock.rates(), **set_up, above_mb=peak_mb() - bare)


main()
