"""`StopAtStepHook`: ends training at a step."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_v1 = tf.compat.v1


class StopAtStepHook(tf.compat.v1.train.StopAtStepHook):  # type: ignore[misc]
    """Asks to stop after `num_steps` steps of this run, or when the global step is `last_step`.

    Raises:
        ValueError: none or both given.
    """

    def __init__(self, num_steps: int | None = None, last_step: int | None = None) -> None:
        super().__init__(num_steps, last_step)
        self.num_steps, self.last_step = num_steps, last_step

    def begin(self) -> None:
        variable = _v1.train.get_global_step()
        if variable is None:
            raise RuntimeError("StopAtStepHook needs a global step; call tf.compat.v1.train.create_global_step.")
        self._now = tf.identity(variable, name="global_step_of_hook")

    def after_create_session(self, session: Any, coord: Any) -> None:
        if self.num_steps is not None:
            self.last_step = int(session.run(self._now)) + self.num_steps

    def next_step(self, global_step: int) -> int:
        """The last step; the very next one where it is over already."""
        assert self.last_step is not None
        return max(global_step + 1, self.last_step)

    def before_run(self, run_context: Any) -> Any:
        return None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        assert self.last_step is not None
        if int(run_context.session.run(self._now)) >= self.last_step:
            run_context.request_stop()
