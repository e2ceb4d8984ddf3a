"""`SecondOrStepTimer`: when a hook is due, in steps or seconds, and which step that will be."""

from __future__ import annotations

import time

import tensorflow as tf


class SecondOrStepTimer(tf.compat.v1.train.SecondOrStepTimer):  # type: ignore[misc]
    """Triggers at most once every N seconds or once every N steps, and can say ahead at which step.

    Args:
        every_secs: seconds between triggers; 0 for each step.
        every_steps: steps between triggers; 0 for each step.

    Raises:
        ValueError: neither or both are given, or one below zero.
    """

    def __init__(self, every_secs: float | None = None, every_steps: int | None = None) -> None:
        super().__init__(every_secs=every_secs, every_steps=every_steps)
        for name, value in (("every_secs", every_secs), ("every_steps", every_steps)):
            if value is not None and value < 0:
                raise ValueError(f"{name} must be >= 0, not {value}.")
        self.every_secs = every_secs
        self.every_steps = every_steps

    def reset(self) -> None:
        """Forgets the last trigger: the next step is due."""
        super().reset()
        self._triggered_at = 0.0
        self._seen: tuple[int, float] | None = None
        self._rate: float | None = None

    def update_last_triggered_step(self, step: int) -> tuple[float | None, int | None]:
        """Notes a trigger at `step`; returns the seconds and steps since the one before, None at the first."""
        self._triggered_at = time.time()
        elapsed: tuple[float | None, int | None] = super().update_last_triggered_step(step)
        return elapsed

    def next_step(self, global_step: int) -> int:
        """The first step after `global_step` that can be due.

        For seconds it is a guess from the steps per second seen so far, never more than twice as far ahead as the
        steps already timed; asked again there, the timer makes a new guess.
        """
        last = self.last_triggered_step()
        if last is None:
            return global_step + 1
        if self.every_steps is not None:
            return int(max(global_step + 1, last + self.every_steps))
        return global_step + self._steps_until_due(global_step)

    def _steps_until_due(self, global_step: int) -> int:
        now = time.time()
        if self._seen is None or global_step < self._seen[0]:
            self._seen = (global_step, now)
            return 1
        steps, seconds = global_step - self._seen[0], now - self._seen[1]
        if steps > 0 and seconds > 0:
            self._rate = steps / seconds
        if self._rate is None or self.every_secs is None:
            return 1
        remaining = self._triggered_at + self.every_secs - now
        # Half of the way, so that a loop that speeds up or slows down is still met in time.
        return max(1, min(int(remaining * self._rate / 2), 2 * max(steps, 1)))
