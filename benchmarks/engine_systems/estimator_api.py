"""What is measured of a library with the Estimator API: `tf.estimator` and ours run this same code."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clock_hooks
import datasets
import tensorflow as tf
import workload
from report import SteadyClock, result

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)

EVALUATED_BATCHES = 200
LATER_CALLS = 20


class Measured:
    """One process's measurement.

    Args:
        job: the driver's task.
        library: `tf.estimator`, or ours.
        adagrad: an optimizer class that takes learning rate and accumulator.
        clock_hook: `AskingClock` where the library asks, else `CountingClock`.
        columns: `columns(features, labels, batch, **how)` makes the library's own input, None if it has none.
        config: more of `RunConfig`.
    """

    def __init__(
        self,
        job: dict[str, Any],
        library: Any,
        adagrad: Any,
        clock_hook: Any,
        columns: Callable[..., Any] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.job, self.columns, self.clock_hook = job, columns, clock_hook
        self.work = workload.find(job["workload"])
        self.features, self.labels = self.work.data()
        directory = f"{job['work']}/model"
        shutil.copytree(job["start"], directory)
        self.estimator = self.work.estimator(
            library,
            tf,
            model_dir=directory,
            optimizer=adagrad(self.work.rate, 0.1),
            config=library.RunConfig(tf_random_seed=1, **(config or {})),
        )

    def run(self) -> None:
        kind = self.job["workload"]
        if kind in {"evaluate", "predict_first", "predict_later"}:
            self.estimator.train(self.input("cached"), max_steps=200)
            getattr(self, kind)()
        elif kind == "start":
            self.start()
        else:
            self.train(kind)

    def input(self, kind: str, rows: int | None = None, **how: Any) -> Any:
        """An input function: `columns`, `rows`, `cached` or `once` over the first `rows` rows."""
        features, labels = self.features, self.labels
        if rows is not None:
            features, labels = workload.head(features, labels, rows)
        if kind == "columns" and self.columns is not None:
            return self.columns(features, labels, self.work.batch, **how)
        return lambda: getattr(datasets, kind)(features, labels, self.work.batch)

    def train(self, kind: str) -> None:
        clock, steps = SteadyClock(min(100, self.job["steps"] // 4)), self.job["steps"]
        hooks = [self.clock_hook(clock, steps)]
        if kind.startswith("w1_hook"):
            reader = clock_hooks.LossAfterSteps if kind == "w1_hook_later" else clock_hooks.LossEveryStep
            hooks.append(reader())
        how = {"group_by_length": True} if kind == "w3_lstm_grouped" else {}
        input_fn = self.input(
            self.job["input"], **({"shuffle": True, "seed": 1, **how} if self.job["input"] == "columns" else {})
        )
        begin = time.perf_counter()
        self.estimator.train(input_fn, max_steps=steps, hooks=hooks)
        seconds = time.perf_counter() - begin
        result(**clock.rates(), seconds=seconds, loss_end=self.loss_end())

    def loss_end(self) -> float:
        return float(self.estimator.evaluate(self.input("once", workload.COMPARED_BATCHES * self.work.batch))["loss"])

    def evaluate(self) -> None:
        """Wall time of the first evaluation; the steady rate from two of different lengths."""
        input_fn = self.input(self.job["input"])

        def seconds(batches: int) -> float:
            begin = time.perf_counter()
            self.estimator.evaluate(input_fn, steps=batches)
            return time.perf_counter() - begin

        first = seconds(EVALUATED_BATCHES)
        short = statistics.median(seconds(EVALUATED_BATCHES) for _ in range(3))
        long = statistics.median(seconds(5 * EVALUATED_BATCHES) for _ in range(3))
        steady = 4 * EVALUATED_BATCHES / max(long - short, 1e-9)
        result(steps_per_s=steady, steps_per_cpu_s=steady, seconds=first, later_seconds=short, loss_end=self.loss_end())

    def predict_first(self) -> None:
        self._predict([next(self._predict_seconds())])

    def predict_later(self) -> None:
        calls = self._predict_seconds()
        next(calls)
        self._predict([next(calls) for _ in range(LATER_CALLS)])

    def _predict_seconds(self) -> Iterator[float]:
        """Seconds of `next(predict(...))` for one row, call after call."""
        input_fn = self.input("columns" if self.columns else "once", 1, **({"num_epochs": 1} if self.columns else {}))
        while True:
            begin = time.perf_counter()
            generator = self.estimator.predict(input_fn)
            next(generator)
            yield time.perf_counter() - begin
            generator.close()

    def _predict(self, seconds: list[float]) -> None:
        each = statistics.median(seconds)
        result(steps_per_s=1 / each, steps_per_cpu_s=1 / each, seconds=each, loss_end=self.loss_end())

    def start(self) -> None:
        """Seconds from the start of the process to the end of the first step."""
        clock = SteadyClock(1)
        self.estimator.train(self.input("cached"), max_steps=2, hooks=[self.clock_hook(clock, 2)])
        since_first_step = time.perf_counter() - clock.marks[0][1]
        alive = time.clock_gettime(time.CLOCK_BOOTTIME) - _boot_seconds_at_start()
        seconds, processor = alive - since_first_step, clock.marks[0][2]
        result(steps_per_s=1 / seconds, steps_per_cpu_s=1 / processor, seconds=seconds, loss_end=self.loss_end())


def _boot_seconds_at_start() -> float:
    """When this process began, in seconds since boot (field 22 of /proc/self/stat)."""
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
