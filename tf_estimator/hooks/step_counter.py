"""`StepCounterHook`: steps per second, logged and as a summary."""

from __future__ import annotations

import logging
from typing import Any

import tensorflow as tf

from .scheduled import Scheduled
from .timer import SecondOrStepTimer

_v1 = tf.compat.v1
_log = logging.getLogger("tf_estimator")


class StepCounterHook(Scheduled, tf.compat.v1.train.StepCounterHook):  # type: ignore[misc]
    """Measures steps per second every N steps or seconds.

    Args:
        every_n_steps: steps between measurements.
        every_n_secs: seconds between measurements; exactly one of the two (`every_n_steps=None` then).
        output_dir: directory of the event file, if no `summary_writer` is given.
        summary_writer: writes the summary `global_step/sec`.

    Raises:
        ValueError: none or both intervals given.
    """

    def __init__(
        self,
        every_n_steps: int | None = 100,
        every_n_secs: float | None = None,
        output_dir: str | None = None,
        summary_writer: Any = None,
    ) -> None:
        super().__init__(every_n_steps, every_n_secs, output_dir, summary_writer)
        self.schedule = SecondOrStepTimer(every_n_secs, every_n_steps)
        self._directory, self._writer = output_dir, summary_writer

    def begin(self) -> None:
        if self._writer is None and self._directory:
            self._writer = _v1.summary.FileWriterCache.get(self._directory)
        self.find_global_step()
        self._tag = f"{_v1.train.get_global_step().op.name}/sec"

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = self.due_step(run_context)
        if step is None:
            return
        seconds, steps = self.schedule.update_last_triggered_step(step)
        if seconds and steps:
            self._record(steps / seconds, step)

    def before_run(self, run_context: Any) -> Any:
        return None

    def _record(self, rate: float, step: int) -> None:
        _log.info("%s: %g", self._tag, rate)
        if self._writer is not None:
            self._writer.add_summary(_v1.Summary(value=[_v1.Summary.Value(tag=self._tag, simple_value=rate)]), step)
