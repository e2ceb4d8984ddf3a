"""`SummarySaverHook`: writes the model's summaries now and then."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .scheduled import Scheduled
from .timer import SecondOrStepTimer

_v1 = tf.compat.v1


class SummarySaverHook(Scheduled, tf.compat.v1.train.SummarySaverHook):  # type: ignore[misc]
    """Writes summaries every N steps or seconds, beginning with the first step.

    Args:
        save_steps: steps between summaries.
        save_secs: seconds between summaries; exactly one of the two.
        output_dir: directory of the event file, if no `summary_writer` is given.
        summary_writer: writes them.
        scaffold: its `summary_op` is used if none is given.
        summary_op: a string tensor of serialized summaries, or a list of those.

    Raises:
        ValueError: none or both intervals, or none or both of `scaffold` and `summary_op`.
    """

    def __init__(
        self,
        save_steps: int | None = None,
        save_secs: float | None = None,
        output_dir: str | None = None,
        summary_writer: Any = None,
        scaffold: Any = None,
        summary_op: Any = None,
    ) -> None:
        super().__init__(save_steps, save_secs, output_dir, summary_writer, scaffold, summary_op)
        self.schedule = SecondOrStepTimer(save_secs, save_steps)
        self._directory, self._writer = output_dir, summary_writer
        self._of_scaffold, self._given = scaffold, summary_op

    def begin(self) -> None:
        if self._writer is None and self._directory:
            self._writer = _v1.summary.FileWriterCache.get(self._directory)
        self.find_global_step()

    def before_run(self, run_context: Any) -> Any:
        self._due = self._writer is not None and self.may_be_due()
        return _v1.train.SessionRunArgs(self._summaries()) if self._due else None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if not self._due:
            self.step_without_asking()
            return
        step = self.step_now(run_context)
        if not self.schedule.should_trigger_for_step(step):
            return
        if self.schedule.last_triggered_step() is None:
            self._writer.add_session_log(_v1.SessionLog(status=_v1.SessionLog.START), step)
        self.schedule.update_last_triggered_step(step)
        for summary in run_values.results:
            self._writer.add_summary(summary, step)

    def end(self, session: Any = None) -> None:
        if self._writer is not None:
            self._writer.flush()

    def _summaries(self) -> list[Any]:
        found = self._given if self._given is not None else self._of_scaffold.summary_op
        if found is None:
            return []
        return list(found) if isinstance(found, list | tuple) else [found]
