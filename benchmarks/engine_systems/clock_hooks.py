"""Session-run hooks of the benchmark, the same for `tf.estimator` and for ours."""

from __future__ import annotations

import tensorflow as tf
from report import SteadyClock

v1 = tf.compat.v1


class CountingClock(v1.train.SessionRunHook):
    """Counts steps itself, which costs about a microsecond a step, and reads the clock twice."""

    def __init__(self, clock: SteadyClock, last: int) -> None:
        self.clock, self.last, self.count = clock, last, 0

    def after_run(self, run_context: object, run_values: object) -> None:
        self.count += 1
        if self.count in (self.clock.warm_up, self.last):
            self.clock.at(self.count)


class AskingClock(v1.train.SessionRunHook):
    """Says beforehand which two steps it wants; a loop that asks runs in the graph in between."""

    def __init__(self, clock: SteadyClock, last: int) -> None:
        self.clock, self.wanted, self.due = clock, [clock.warm_up, last], None

    def next_step(self, global_step: int) -> int | None:
        self.due = next((step for step in self.wanted if step > global_step), None)
        return self.due

    def after_run(self, run_context: object, run_values: object) -> None:
        self.clock.at(self.due)


class LossEveryStep(v1.train.SessionRunHook):
    """What a user's hook does that reads the loss at every step."""

    def begin(self) -> None:
        self.total = 0.0
        self.loss = v1.get_default_graph().get_collection(v1.GraphKeys.LOSSES)[-1]

    def before_run(self, run_context: object) -> object:
        return v1.train.SessionRunArgs(self.loss)

    def after_run(self, run_context: object, run_values: object) -> None:
        self.total += float(run_values.results)


class LossAfterSteps(LossEveryStep):
    """The same for ours, and says that it need not see a loss before the next step is done."""

    values_later = True
