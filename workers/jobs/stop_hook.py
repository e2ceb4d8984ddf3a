"""Stops a loop over batches when the attempt is to end."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from workers.attempt.stop import StopSignal

_CHECK_EVERY_STEPS = 50


class StopHook(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """Stops a loop on request."""

    def __init__(self, stop_signal: StopSignal) -> None:
        self._stop_signal = stop_signal

    def next_step(self, step: int) -> int:
        return step + (_CHECK_EVERY_STEPS if self._stop_signal.reason is None else 1)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if self._stop_signal.reason is not None:
            run_context.request_stop()
