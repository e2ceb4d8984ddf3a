"""`LoggingTensorHook`: logs values now and then."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from .timer import SecondOrStepTimer

_v1 = tf.compat.v1
_log = logging.getLogger("tf_estimator")


class LoggingTensorHook(tf.compat.v1.train.LoggingTensorHook):  # type: ignore[misc]
    """Logs tensors every N steps, every N seconds, or at the end; the first step is always logged.

    Args:
        tensors: tag to tensor or its name, or a list of tensors or names.
        every_n_iter: steps between lines.
        every_n_secs: seconds between lines. Exactly one of the two, unless `at_end` alone is wanted.
        at_end: log once more at the end.
        formatter: makes the line from a dict of tag to value.

    Raises:
        ValueError: none or both intervals given, or one not positive.
    """

    def __init__(
        self,
        tensors: Any,
        every_n_iter: int | None = None,
        every_n_secs: float | None = None,
        at_end: bool = False,
        formatter: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        super().__init__(tensors, every_n_iter, every_n_secs, at_end, formatter)
        self._wanted = dict(tensors) if isinstance(tensors, dict) else {item: item for item in tensors}
        self._order = sorted(tensors) if isinstance(tensors, dict) else list(tensors)
        self._format = formatter
        self._at_end = at_end
        at_end_only = every_n_iter is None and every_n_secs is None
        self._schedule = None if at_end_only else SecondOrStepTimer(every_n_secs, every_n_iter)

    def begin(self) -> None:
        if self._schedule is not None:
            self._schedule.reset()
        self._step = 0  # of this run; the global step once the loop has asked
        self._asked: int | None = None
        graph = _v1.get_default_graph()
        self._fetches = {
            tag: graph.as_graph_element(item) if isinstance(item, str) else item for tag, item in self._wanted.items()
        }

    def next_step(self, global_step: int) -> int | None:
        """The next global step that is logged."""
        if self._schedule is None:
            return None
        self._asked = self._schedule.next_step(global_step)
        return self._asked

    def before_run(self, run_context: Any) -> Any:
        self._due = self._schedule is not None and (
            self._asked is not None or self._schedule.should_trigger_for_step(self._step)
        )
        return _v1.train.SessionRunArgs(self._fetches) if self._due else None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = self._step if self._asked is None else self._asked
        if self._due and self._schedule is not None and self._schedule.should_trigger_for_step(step):
            elapsed, _ = self._schedule.update_last_triggered_step(step)
            self._write(run_values.results, elapsed)
        self._step += 1

    def end(self, session: Any) -> None:
        if self._at_end:
            self._write(session.run(self._fetches), None)

    def _write(self, values: dict[str, Any], elapsed: float | None) -> None:
        if self._format is not None:
            _log.info("%s", self._format(values))
            return
        with np.printoptions(suppress=True):
            line = ", ".join(f"{tag} = {values[tag]}" for tag in self._order)
        _log.info("%s", line if elapsed is None else f"{line} ({elapsed:.3f} sec)")
