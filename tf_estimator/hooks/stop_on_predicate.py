"""`StopOnPredicateHook`: asks now and then whether training should stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .scheduled import Scheduled
from .session_run_hook import SessionRunHook
from .timer import SecondOrStepTimer

_log = logging.getLogger("tf_estimator")


class StopOnPredicateHook(Scheduled, SessionRunHook):  # type: ignore[misc]
    """Calls `should_stop_fn()` every N seconds or steps and asks to stop when it returns true.

    Args:
        should_stop_fn: function without arguments.
        run_every_secs: seconds between calls.
        run_every_steps: steps between calls; exactly one of the two.
    """

    def __init__(
        self,
        should_stop_fn: Callable[[], bool],
        run_every_secs: float | None = 60,
        run_every_steps: int | None = None,
    ) -> None:
        self.schedule = SecondOrStepTimer(run_every_secs, run_every_steps)
        self._should_stop = should_stop_fn

    def begin(self) -> None:
        self.find_global_step()

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = self.due_step(run_context)
        if step is None:
            return
        self.schedule.update_last_triggered_step(step)
        if self._should_stop():
            _log.info("Early stopping at global step %d.", step)
            run_context.request_stop()
