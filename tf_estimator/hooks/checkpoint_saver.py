"""`CheckpointSaverHook`: saves checkpoints at intervals and calls its listeners."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .scheduled import Scheduled
from .timer import SecondOrStepTimer

_v1 = tf.compat.v1
_log = logging.getLogger("tf_estimator")

#: Called before and after each saved checkpoint: `begin`, `before_save`, `after_save` (True stops training), `end`.
#: When `after_save` is called the files are complete, and the session stands at the checkpoint's step. A listener that
#: only needs the former may say so by a true attribute `asynchronous`: the Estimator then may write in the background,
#: and calls `after_save` in the training's thread some steps later, before `end` in any case.
CheckpointSaverListener = _v1.train.CheckpointSaverListener


class CheckpointSaverHook(Scheduled, tf.compat.v1.train.CheckpointSaverHook):  # type: ignore[misc]
    """Saves a checkpoint before the first step, every N steps or seconds, and at the end.

    Args:
        checkpoint_dir: directory of the checkpoints.
        save_secs: seconds between checkpoints.
        save_steps: steps between checkpoints; exactly one of the two.
        saver: a `tf.compat.v1.train.Saver` to save with. With none, in a model directory the Estimator writes its own
            checkpoints, which also hold what an exact resume needs; elsewhere all variables are saved.
        checkpoint_basename: name of the files before `-<global step>`.
        scaffold: its saver is used, if it has one.
        listeners: `CheckpointSaverListener`s.
        save_graph_def: also write `graph.pbtxt`, and a `.meta` file per checkpoint where a `saver` is given.

    Raises:
        ValueError: none or both intervals, or both `saver` and `scaffold`.
    """

    def __init__(
        self,
        checkpoint_dir: str,
        save_secs: float | None = None,
        save_steps: int | None = None,
        saver: Any = None,
        checkpoint_basename: str = "model.ckpt",
        scaffold: Any = None,
        listeners: Sequence[Any] | None = None,
        save_graph_def: bool = True,
    ) -> None:
        super().__init__(
            checkpoint_dir, save_secs, save_steps, saver, checkpoint_basename, scaffold, listeners, save_graph_def
        )
        self.schedule = SecondOrStepTimer(save_secs, save_steps)
        self.listeners = list(listeners or ())
        self._directory = os.fspath(checkpoint_dir)
        self._prefix = os.path.join(self._directory, checkpoint_basename)  # noqa: PTH118
        self._basename = checkpoint_basename
        self._given, self._of_scaffold = saver, scaffold
        self._with_graph = save_graph_def

    def begin(self) -> None:
        self.find_global_step()
        self._saver = self._given or (self._of_scaffold.saver if self._of_scaffold is not None else None)
        for listener in self.listeners:
            listener.begin()

    def after_create_session(self, session: Any, coord: Any) -> None:
        own = (self._directory, self._basename) == (getattr(session, "checkpoint_dir", None), "model.ckpt")
        if self._saver is None and not own:
            self._saver = _v1.train.Saver()
        step = int(session.run(self.global_step_tensor))
        if self._with_graph:
            _v1.train.write_graph(session.graph.as_graph_def(add_shapes=True), self._directory, "graph.pbtxt")
        self._save(session, step)

    def before_run(self, run_context: Any) -> Any:
        return None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = self.due_step(run_context)
        if step is not None and self._save(run_context.session, step):
            run_context.request_stop()

    def end(self, session: Any) -> None:
        step = int(session.run(self.global_step_tensor))
        if step != self.schedule.last_triggered_step():
            self._save(session, step)
        for listener in self.listeners:
            listener.end(session, step)

    def _save(self, session: Any, step: int) -> bool:
        """Saves; returns whether a listener wants training to stop."""
        for listener in self.listeners:
            listener.before_save(session, step)
        _log.info("Saving checkpoint %s-%d.", self._prefix, step)
        if self._saver is None:
            session.save_checkpoint(step)
        else:
            self._saver.save(session, self._prefix, global_step=step, write_meta_graph=self._with_graph)
        self.schedule.update_last_triggered_step(step)
        # A list, so that every listener is called.
        stop = [bool(listener.after_save(session, step)) for listener in self.listeners]
        return any(stop)
