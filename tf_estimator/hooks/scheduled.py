"""Base of the hooks with a timer: they say when they want to be called, and know the step they are called at."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .timer import SecondOrStepTimer

_v1 = tf.compat.v1


class Scheduled:
    """Mixin of a session-run hook whose timer counts global steps.

    A loop that runs many steps in one call asks `next_step` and calls `before_run` and `after_run` around that step
    only. A loop that never asks calls them around each step.
    """

    schedule: SecondOrStepTimer
    global_step_tensor: Any = None
    _asked = False
    _step: int | None = None

    def next_step(self, global_step: int) -> int | None:
        """The next global step after which this hook wants its values."""
        self._asked = True
        self._step = global_step
        return self.schedule.next_step(global_step)

    def find_global_step(self) -> None:
        """Takes the global step of the default graph; call it in `begin`.

        Raises:
            RuntimeError: there is none.
        """
        variable = _v1.train.get_global_step()
        if variable is None:
            raise RuntimeError(
                f"{type(self).__name__} needs a global step; call tf.compat.v1.train.create_global_step."
            )
        self.global_step_tensor = tf.identity(variable, name="global_step_of_hook")

    def may_be_due(self) -> bool:
        """Whether the step that is about to run can be due; True whenever that can't be known."""
        if self._asked or self._step is None:
            return True
        return bool(self.schedule.should_trigger_for_step(self._step + 1))

    def step_now(self, run_context: Any) -> int:
        """The global step after the step that has just run."""
        self._step = int(run_context.session.run(self.global_step_tensor))
        return self._step

    def due_step(self, run_context: Any) -> int | None:
        """The global step after the step that has just run, if the hook is due at it; call it in `after_run`."""
        if not self.may_be_due():
            self.step_without_asking()
            return None
        step = self.step_now(run_context)
        return step if self.schedule.should_trigger_for_step(step) else None

    def step_without_asking(self) -> None:
        """Counts a step whose values were not requested."""
        if self._step is not None:
            self._step += 1
