"""What a hand-written loop reaches on today's TensorFlow: no hooks, no checkpoints, many steps in one call.

`w1_jit` runs 100 stacked batches in one XLA program. Everything else is a graph loop over the same input as ours.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from typing import Any

import datasets
import limit_models
import numpy as np
import tensorflow as tf
import workload
from report import SteadyClock, result, task

CALL = 100


class Loop:
    """Training of one workload from its starting checkpoint."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.name, self.work = job["workload"], workload.find(job["workload"])
        start = tf.train.load_checkpoint(job["start"])
        names = [n for n in start.get_variable_to_shape_map() if not n.startswith("training/") and n != "global_step"]
        self.variables = {n: tf.Variable(start.get_tensor(n), name=n.replace("/", "_")) for n in sorted(names)}
        self.sums = {n: tf.Variable(tf.fill(v.shape, 0.1)) for n, v in self.variables.items()}

    def loss(self, features: Any, labels: Any) -> tf.Tensor:
        logits = limit_models.logits(self.name, self.variables, features)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))

    def step(self, features: Any, labels: Any) -> tf.Tensor:
        names = list(self.variables)
        with tf.GradientTape() as tape:
            loss = self.loss(features, labels)
        gradients = tape.gradient(loss, [self.variables[n] for n in names])
        for name, gradient in zip(names, gradients, strict=True):
            common = {
                "var": self.variables[name].handle,
                "accum": self.sums[name].handle,
                "lr": self.work.rate,
                "epsilon": 1e-7,
            }
            if isinstance(gradient, tf.IndexedSlices):
                # Rows that came up many times are summed first, as all libraries do; else it would be another rule.
                rows, place = tf.unique(gradient.indices)
                total = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows))
                tf.raw_ops.ResourceSparseApplyAdagradV2(grad=total, indices=rows, **common)
            else:
                tf.raw_ops.ResourceApplyAdagradV2(grad=gradient, **common)
        return loss

    def from_iterator(self, iterator: Any) -> Any:
        """A function that does `n` steps on the iterator's batches."""

        @tf.function(autograph=False)
        def run(n: tf.Tensor) -> tf.Tensor:
            def once(i: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                return i + 1, self.step(*next(iterator))

            return tf.while_loop(lambda i, _: i < n, once, (0, 0.0), parallel_iterations=1)[1]

        return run

    def from_columns(self, features: dict[str, Any], labels: np.ndarray, jit: bool = False) -> Any:
        """A function that does `n` steps on shuffled batches gathered from one matrix."""
        names = sorted(features)
        matrix, targets = tf.constant(np.stack([features[n] for n in names], 1)), tf.constant(labels)
        random, size = np.random.default_rng(1), self.work.batch

        def steps(blocks: tf.Tensor, answers: tf.Tensor) -> tf.Tensor:
            def once(i: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                columns = dict(zip(names, tf.unstack(blocks[i], num=len(names), axis=0), strict=True))
                return i + 1, self.step(columns, answers[i])

            return tf.while_loop(lambda i, _: i < CALL, once, (0, 0.0), parallel_iterations=1)[1]

        inner = tf.function(steps, autograph=False, jit_compile=jit)

        @tf.function(autograph=False)
        def call(order: tf.Tensor) -> tf.Tensor:
            return inner(tf.transpose(tf.gather(matrix, order), [0, 2, 1]), tf.gather(targets, order))

        left = np.empty(0, np.int32)

        def run(n: int) -> tf.Tensor:
            nonlocal left
            while len(left) < CALL * size:
                left = np.concatenate([left, random.permutation(len(labels)).astype(np.int32)])
            order, left = left[: CALL * size].reshape(CALL, size), left[CALL * size :]
            return call(order)

        return run


def main() -> None:
    job = task()
    loop = Loop(job)
    features, labels = loop.work.data()
    begin = time.perf_counter()
    if job["input"] == "columns" and job["workload"].startswith("w1"):
        run = loop.from_columns(features, labels, jit=job["workload"] == "w1_jit")
    else:
        options = tf.data.Options()
        options.autotune.enabled = False
        kind = "cached" if job["input"] == "columns" else job["input"]
        iterator = iter(getattr(datasets, kind)(features, labels, loop.work.batch).with_options(options))
        run = loop.from_iterator(iterator)
    clock, call = SteadyClock(), min(CALL, job["steps"] // 4)
    for done in range(call, job["steps"] + 1, call):
        run(call)
        clock.at(done)
    seconds = time.perf_counter() - begin
    few = workload.head(features, labels, workload.COMPARED_BATCHES * loop.work.batch)
    evaluate = tf.function(loop.loss, autograph=False, reduce_retracing=True)
    losses = [float(evaluate(*batch)) for batch in datasets.once(*few, loop.work.batch)]
    result(**clock.rates(), seconds=seconds, loss_end=float(np.mean(losses)))


main()
