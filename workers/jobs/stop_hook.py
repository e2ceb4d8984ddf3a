"""Stops a loop over batches when the attempt is to end, and tells how far it is."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from workers.attempt.progress import ProgressBuffer
from workers.attempt.stop import StopSignal

_CHECK_EVERY_STEPS = 50


class StopHook(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """Stops a loop on request.

    Args:
        progress: told the batches that were done, as `step`; None: nobody is.
    """

    def __init__(self, stop_signal: StopSignal, progress: ProgressBuffer | None = None) -> None:
        self._stop_signal, self._progress = stop_signal, progress

    def next_step(self, step: int) -> int:
        if self._progress is not None:
            self._progress.update(step=step)
        return step + (_CHECK_EVERY_STEPS if self._stop_signal.reason is None else 1)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if self._stop_signal.reason is not None:
            run_context.request_stop()
