"""Stall detection: a train_op that does not raise the global step would never reach its goal."""

from __future__ import annotations

import logging

from ..errors import GlobalStepError
from ..graph.traced_model import TracedModel
from ..keys import GLOBAL_STEP

log = logging.getLogger("tf_estimator")

#: Batches without a raised global step after which a warning is logged.
PATIENCE = 100

_READERS = {"ReadVariableOp", "VarIsInitializedOp"}
_REMEDY = (
    "Give the optimizer the global step: minimize(loss, global_step=tf.compat.v1.train.get_global_step()), or let "
    "train_op add one to it."
)


class StallDetector:
    """Counts the batches since the global step was raised.

    Attributes:
        batches: how many were trained on since.
        stands_still: whether nothing in the graph can raise the global step.
    """

    def __init__(self, trace: TracedModel) -> None:
        self.batches = 0
        self._warned = False
        counter = next(t for t in trace.variables.all() if t.name == GLOBAL_STEP).variable
        users = [op for op in counter.handle.consumers() if op.name != counter.initializer.name]
        self.stands_still = all(op.type in _READERS for op in users)

    def watch(self, before: int, step: int, goal: int | None) -> None:
        """Looks at the steps that one call did.

        Raises:
            GlobalStepError: as many batches were used as steps are wanted (and `PATIENCE` at least), and nothing in
                the graph can raise the global step, so that it would never reach `goal`.
        """
        if step != before:
            self.batches = 0
            return
        if self.stands_still and goal is not None and self.batches >= max(PATIENCE, goal - step):
            raise GlobalStepError(
                f"train_op does not raise the global step: it is still {step} after {self.batches} batches, and "
                f"training would never reach step {goal}. {_REMEDY}"
            )
        if self.batches >= PATIENCE and not self._warned:
            self._warned = True
            log.warning("The global step is still %d after %d batches. %s", step, self.batches, _REMEDY)
