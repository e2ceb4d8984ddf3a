"""`GlobalStepWaiterHook`: starts a worker late."""

from __future__ import annotations

import logging
import time
from typing import Any

import tensorflow as tf

_v1 = tf.compat.v1
_log = logging.getLogger("tf_estimator")


class GlobalStepWaiterHook(tf.compat.v1.train.GlobalStepWaiterHook):  # type: ignore[misc]
    """Waits before the first step until the global step, which other workers raise, has reached `wait_until_step`."""

    def __init__(self, wait_until_step: int) -> None:
        super().__init__(wait_until_step)
        self.wait_until_step = wait_until_step

    def begin(self) -> None:
        self._started = False
        variable = _v1.train.get_global_step()
        if variable is None:
            raise RuntimeError("GlobalStepWaiterHook needs a global step; call tf.compat.v1.train.create_global_step.")
        self._now = tf.identity(variable, name="global_step_of_hook")

    def next_step(self, global_step: int) -> int | None:
        """The first step, and none after it."""
        return None if self._started else global_step + 1

    def before_run(self, run_context: Any) -> Any:
        if self._started:
            return None
        while self.wait_until_step > 0 and int(run_context.session.run(self._now)) < self.wait_until_step:
            _log.info("Waiting for global step %d.", self.wait_until_step)
            time.sleep(0.5)
        self._started = True
        return None
