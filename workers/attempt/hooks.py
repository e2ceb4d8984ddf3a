"""The service's session-run hooks: loss series, progress, stop requests, recorded checkpoints.

Of a long job they fetch values only at the steps of the loss series, so between them the engine's loop stays inside the
graph. Of a short one, whose series has every step or nearly so, they get the values of many steps after one call.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import tf_estimator as est
from workers.attempt.progress import ProgressBuffer
from workers.attempt.stop import StopSignal

_POINTS = 200
"""Approximate number of points of a loss series. Each costs the loop a return from the graph (some 2 ms)."""
_NOW_S = 5.0
"""The speed is that of the last seconds."""
_NEARLY_EVERY = 5
"""Steps between two points up to which it is cheaper to be handed the values of all steps than to return for each
point."""
_MARK_EVERY_S = 0.1
_MARKS = 60
"""A little more than `_NOW_S` of them."""
_CHECK_EVERY_S = 0.3
"""Seconds after which a stop request is noticed inside one call of the loop."""


def series_interval(max_steps: int | None) -> int:
    """Steps between two points of the loss series: each step of a short job, about `_POINTS` points of a longer one, a
    round number. It depends on the specification alone: a resumed job has the same series as an uninterrupted one."""
    wanted = max(1.0, (max_steps or 10_000) / _POINTS)
    power = 10 ** math.floor(math.log10(wanted))
    return int(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= wanted))


def progress_hook(
    stop_signal: StopSignal,
    progress: ProgressBuffer,
    max_steps: int | None,
    start: int = 0,
    on_first_step: Callable[[float], None] | None = None,
) -> _Progress:
    """The hook that suits the length of the job; see `_Progress`."""
    kind = EachStepHook if series_interval(max_steps) <= _NEARLY_EVERY else ProgressHook
    return kind(stop_signal, progress, max_steps, start, on_first_step)


class _Progress(est.hooks.BeforeCheckpointHook):
    """Reports the loss and the speed, and stops the loop on request. A checkpoint is recorded with the point of its
    own step.

    Args:
        max_steps: of the whole job, for the time that is left; None when epochs end it.
        start: the global step at which this run starts.
        on_first_step: called with the time at which this run's first step was done.
    """

    def __init__(
        self,
        stop_signal: StopSignal,
        progress: ProgressBuffer,
        max_steps: int | None,
        start: int = 0,
        on_first_step: Callable[[float], None] | None = None,
    ) -> None:
        self._stop_signal, self._progress = stop_signal, progress
        self._max_steps = max_steps
        self._every = series_interval(max_steps)
        self._args: Any = None
        self._begun: float | None = None
        self._begun_step = start
        self._marks: deque[tuple[float, int]] = deque(maxlen=_MARKS)
        self.step = start
        self.loss: float | None = None
        self._on_first_step = on_first_step

    def _reach(self) -> int:
        """Steps that take about `_CHECK_EVERY_S`; 1 when the loop is to stop."""
        if self._stop_signal.reason is not None:
            return 1
        return max(1, int(self.rate * _CHECK_EVERY_S)) if self.rate else 1

    @property
    def mean_rate(self) -> float:
        """Steps per second since the first step of this run; 0 before the second."""
        if self._begun is None or self.step <= self._begun_step:
            return 0.0
        return (self.step - self._begun_step) / max(time.monotonic() - self._begun, 1e-6)

    @property
    def rate(self) -> float:
        """Steps per second now: over the last `_NOW_S`, or since the last two looks where those lie further apart."""
        if len(self._marks) < 2:
            return self.mean_rate
        newest_at, newest = self._marks[-1]
        at, step = next((mark for mark in self._marks if newest_at - mark[0] <= _NOW_S), self._marks[-2])
        if step == newest:
            at, step = self._marks[-2]
        return (newest - step) / max(newest_at - at, 1e-6)

    def _mark(self) -> None:
        """Notes when the present step was done, a few times per second."""
        at = time.monotonic()
        if self._begun is None or (self._marks and at - self._marks[-1][0] < _MARK_EVERY_S):
            return
        self._marks.append((at, self.step))

    def before_run(self, run_context: Any) -> Any:
        # Estimators run [train op, loss] at each step: the loss is the one scalar of floats among them.
        if self._args is None:
            fetches = tf.nest.flatten(run_context.original_args.fetches)
            scalars = (f for f in fetches if isinstance(f, tf.Tensor) and f.dtype.is_floating and f.shape.rank == 0)
            self._args = tf.compat.v1.train.SessionRunArgs(next(scalars))
        return self._args

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.step += 1
        self.loss = float(np.asarray(run_values.results))
        if self._begun is None:
            self._begun, self._begun_step = time.monotonic(), self.step
            if self._on_first_step is not None:
                self._on_first_step(time.time())
        if self.step % self._every == 0 or self.step == 1:
            self._progress.add_point("loss", self.step, self.loss)
        self._after_step()
        self._report()
        if self._stop_signal.reason is not None:
            run_context.request_stop()

    def _after_step(self) -> None:
        """Notes what the time now says of the speed."""

    def _add_speed(self) -> None:
        if self.rate:
            self._progress.add_point("steps_per_s", self.step, round(self.rate, 3))

    def _report(self) -> None:
        rate = self.rate
        left = None if self._max_steps is None or not rate else (self._max_steps - self.step) / rate
        self._progress.update(
            step=self.step,
            max_steps=self._max_steps,
            loss=self.loss,
            steps_per_s=round(rate, 3),
            mean_steps_per_s=round(self.mean_rate, 3),
            eta_s=None if left is None else round(max(left, 0.0), 1),
        )


class ProgressHook(_Progress):
    """Of a long job: it is called at the steps of the series, or when the calls would take too long."""

    def next_step(self, step: int) -> int:
        """The next step of the series, or an earlier one when the calls would take too long."""
        self.step = step
        if self._begun is None:
            return step + 1  # the first step: its time is reported
        self._mark()
        self._report()  # points of a long job's series lie minutes apart, and progress must show in between
        due = (step // self._every + 1) * self._every
        return min(due, step + self._reach())

    def _after_step(self) -> None:
        self._mark()
        if self.step % self._every == 0 or self.step == 1:
            self._add_speed()


class EachStepHook(_Progress):
    """Of a short job: it gets the values of every step, after as many as `_reach` allows. How fast they were is known
    when all of a call have been handed over."""

    values_later = True

    def most_later(self, step: int) -> int:
        """Steps of the next call; the first is told at once."""
        return 1 if self._begun is None else self._reach()

    def before_run(self, run_context: Any) -> Any:
        self._note_call()
        return super().before_run(run_context)

    def end(self, session: Any) -> None:
        self._note_call()

    def _note_call(self) -> None:
        if self._begun is not None:
            self._mark()
            self._add_speed()
            self._report()


class CheckpointListener(tf.compat.v1.train.CheckpointSaverListener):  # type: ignore[misc]
    """Has every checkpoint recorded as soon as its files are complete.

    Args:
        record: called with the global step; returns False when the attempt is over and the loop must stop.
        start: the step at which the run starts; its checkpoint is recorded already, or not needed.

    Attributes:
        step: the global step at which the run ended.
    """

    asynchronous = True
    """It looks at the files alone, so the training may go on while they are written."""

    def __init__(self, record: Any, start: int) -> None:
        self._record, self._start = record, start
        self.step = start

    def after_save(self, session: Any, global_step_value: int) -> bool:
        return int(global_step_value) > self._start and not self._record(int(global_step_value))

    def end(self, session: Any, global_step_value: int) -> None:
        self.step = int(global_step_value)
