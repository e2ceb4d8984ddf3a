"""The engine's own hooks: checkpoints, summaries and the progress line. Each says beforehand when it is next due."""

from __future__ import annotations

import logging
import time
from typing import Any

import tensorflow as tf

from workers.estimator.run_config import RunConfig
from workers.estimator.saver import ModelSaver

v1 = tf.compat.v1
log = logging.getLogger("workers.estimator")


class Duty(v1.train.SessionRunHook):  # type: ignore[misc,name-defined]
    """A hook that is told the global step.

    Attributes:
        step: the step that was done last.
    """

    step = 0


class SaveCheckpoints(Duty):
    """Saves at the start, whenever the configuration says, and at the end."""

    def __init__(self, saver: ModelSaver, config: RunConfig) -> None:
        self._saver = saver
        self._steps = config.save_checkpoints_steps or None
        self._seconds = config.save_checkpoints_secs or None
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self.ended = False

    def begin(self) -> None:
        for listener in self._saver.listeners:
            listener.begin()

    def start(self, step: int, *, save: bool) -> bool:
        """Notes the first step, and saves it unless a checkpoint of it is there; whether a listener asks to stop."""
        self.step = self._saved_step = step
        if not save:
            self._saver.last_step = step
            return False
        return self._save(step)

    def next_step(self, step: int) -> int | None:
        if self._steps is not None:
            return int(max(self._saved_step + self._steps, step + 1))
        if self._seconds is not None and time.monotonic() - self._saved_at >= self._seconds:
            return step + 1
        return None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if self._save(self.step):
            run_context.request_stop()

    def end(self, session: Any) -> None:
        if self._saver.last_step != self.step or self.ended:
            self._save(self.step)
        for listener in self._saver.listeners:
            listener.end(session, self.step)

    def _save(self, step: int) -> bool:
        self._saved_step, self._saved_at = step, time.monotonic()
        return self._saver.save(step, ended=self.ended)


class WriteSummaries(Duty):
    """Writes the merged summaries of the model every so many steps, the first step included."""

    def __init__(self, directory: str, every: int, operation: Any) -> None:
        self._directory = directory
        self._every = every
        self._args = v1.train.SessionRunArgs(operation)
        self._next: int | None = None
        self._writer: Any = None

    def begin(self) -> None:
        self._writer = v1.summary.FileWriterCache.get(self._directory)

    def next_step(self, step: int) -> int | None:
        return step + 1 if self._next is None else self._next

    def before_run(self, run_context: Any) -> Any:
        return self._args

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if run_values.results is not None:
            self._writer.add_summary(run_values.results, self.step)
        self._next = self.step + self._every

    def end(self, session: Any) -> None:
        self._writer.flush()


class LogProgress(Duty):
    """Logs loss, step and steps per second every so many steps, and writes the rate as summary `global_step/sec`."""

    def __init__(self, directory: str | None, every: int, loss: tf.Tensor) -> None:
        self._directory = directory
        self._every = every
        self._args = v1.train.SessionRunArgs(loss)
        self._next: int | None = None
        self._writer: Any = None
        self._last: tuple[int, float] | None = None

    def begin(self) -> None:
        self._writer = v1.summary.FileWriterCache.get(self._directory) if self._directory else None

    def next_step(self, step: int) -> int | None:
        return step + 1 if self._next is None else self._next

    def before_run(self, run_context: Any) -> Any:
        return self._args

    def after_run(self, run_context: Any, run_values: Any) -> None:
        now = time.perf_counter()
        if self._last is None:
            log.info("loss = %s, step = %d", run_values.results, self.step)
        else:
            seconds = now - self._last[1]
            rate = (self.step - self._last[0]) / seconds if seconds > 0 else 0.0
            log.info("loss = %s, step = %d (%.3f sec, %.6g steps/s)", run_values.results, self.step, seconds, rate)
            if self._writer is not None and rate:
                value = v1.Summary(value=[v1.Summary.Value(tag="global_step/sec", simple_value=rate)])
                self._writer.add_summary(value, self.step)
        self._last = (self.step, now)
        self._next = self.step + self._every

    def end(self, session: Any) -> None:
        log.info("Training ended at step %d.", self.step)
