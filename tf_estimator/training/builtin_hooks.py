"""Built-in hooks: checkpoints, summaries and the progress line. Each says in advance when it is next due."""

from __future__ import annotations

import logging
import time
from typing import Any

import tensorflow as tf

from ..graph.traced_model import TracedModel
from ..run_config import RunConfig
from .event_writer import event_writer
from .saver import ModelSaver

v1 = tf.compat.v1
log = logging.getLogger("tf_estimator")

_EVENTS_WAIT_S = 5.0


class BuiltinHook(v1.train.SessionRunHook):  # type: ignore[misc,name-defined]
    """A hook that knows the global step.

    Attributes:
        step: the last step that was done.
    """

    step = 0


class BeforeCheckpointHook(v1.train.SessionRunHook):  # type: ignore[misc,name-defined]
    """Base of a hook whose `after_run` comes before the checkpoint of the step is written.

    Other hooks are called after it, as in `tf.estimator`. What a hook keeps of the steps, and a checkpoint listener
    stores with the checkpoint, must include that step: a run that continues from there does not repeat it.
    """


class KeepInputPosition(v1.train.SessionRunHook):  # type: ignore[misc,name-defined]
    """Lets the next `train` go on with the input where this one stops, however it stops.

    A training that ends by itself (its steps are done, a hook stopped it) leaves its input behind: the next one starts
    from the beginning of the input. Only a training that was killed goes on where its last checkpoint was written. With
    this hook, one that is stopped in order to be continued does so too.
    """

    def next_step(self, step: int) -> int | None:
        """Never: nothing has to be done at a step."""
        return None


class SaveCheckpoints(BuiltinHook):
    """Saves at the start, at the configured intervals, and at the end, when it waits for the files."""

    def __init__(self, saver: ModelSaver, config: RunConfig) -> None:
        self._saver = saver
        self._steps = config.save_checkpoints_steps or None
        self._seconds = config.save_checkpoints_secs or None
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self._goal: int | None = None
        self._ended = self._unsaved = False

    def begin(self) -> None:
        for listener in self._saver.listeners:
            listener.begin()

    def start(self, step: int, *, save: bool, goal: int | None) -> bool:
        """Starts a run.

        Args:
            step: the global step.
            save: whether to save it.
            goal: global step with which the run ends by itself; None for none.

        Returns:
            Whether a listener asks to stop.
        """
        self._goal = goal
        self.step = self._saved_step = step
        if not save:
            self._saver.last_step = step
            return False
        return self._save(step)

    def note_end(self, *, by_itself: bool, unsaved: bool) -> None:
        """Notes that the run has ended; `unsaved` says that there were batches after the last one that was counted."""
        self._ended, self._unsaved = by_itself, unsaved

    def next_step(self, step: int) -> int | None:
        if self._steps is not None:
            return int(max(self._saved_step + self._steps, step + 1))
        if self._seconds is not None and time.monotonic() - self._saved_at >= self._seconds:
            return step + 1
        return None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if self._save(self.step):
            run_context.request_stop()

    def end(self, session: Any) -> None:
        if self._saver.last_step != self.step or self._unsaved:
            self._save(self.step, finish=True)
        self._saver.settle()
        for listener in self._saver.listeners:
            listener.end(session, self.step)

    def _save(self, step: int, *, finish: bool = False) -> bool:
        self._saved_step, self._saved_at = step, time.monotonic()
        ended = self._ended or (self._goal is not None and step >= self._goal)
        return self._saver.save(step, ended=ended, finish=finish)


class Events:
    """Summaries on their way to the event file of a directory.

    The writer's thread would wake up for each of them and delay the steps; it gets them a few seconds later, and
    flushes every two minutes.
    """

    def __init__(self, trace: TracedModel, directory: str) -> None:
        self._trace, self._directory = trace, directory
        self._writer: Any = None
        self._waiting: list[tuple[float, int, bytes]] = []

    def open(self) -> None:
        """Opens the file, if it is not open yet."""
        self._writer = event_writer(self._trace, self._directory)

    def add(self, summary: bytes, step: int) -> None:
        """Takes a serialized `Summary`."""
        now = time.time()
        self._waiting.append((now, step, summary))
        if now - self._waiting[0][0] > _EVENTS_WAIT_S:
            self.write()

    def write(self) -> None:
        """Hands the waiting summaries to the writer."""
        for when, step, summary in self._waiting:
            self._writer.add_event(v1.Event(wall_time=when, step=step, summary=v1.Summary.FromString(summary)))
        self._waiting.clear()

    def flush(self) -> None:
        """Writes to disk what waits here, and what hooks of TensorFlow gave to the directory's writer."""
        self.write()
        writer = self._writer or getattr(v1.summary.FileWriterCache, "_cache", {}).get(self._directory)
        if writer is not None:
            writer.flush()


class WriteSummaries(BuiltinHook):
    """Writes the merged summaries of the model every N steps, the first step included."""

    def __init__(self, events: Events, every: int, operation: Any) -> None:
        self._events = events
        self._every = every
        self._args = v1.train.SessionRunArgs(operation)
        self._next: int | None = None

    def begin(self) -> None:
        self._events.open()

    def next_step(self, step: int) -> int | None:
        return step + 1 if self._next is None else self._next

    def before_run(self, run_context: Any) -> Any:
        return self._args

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if run_values.results is not None:
            self._events.add(run_values.results, self.step)
        self._next = self.step + self._every


class LogProgress(BuiltinHook):
    """Logs loss, step and steps per second every N steps, and writes the rate as summary `global_step/sec`."""

    def __init__(self, events: Events, every: int, loss: tf.Tensor) -> None:
        self._events = events
        self._every = every
        self._args = v1.train.SessionRunArgs(loss)
        self._next: int | None = None
        self._last: tuple[int, float] | None = None

    def begin(self) -> None:
        self._events.open()

    def next_step(self, step: int) -> int | None:
        return step + 1 if self._next is None else self._next

    def before_run(self, run_context: Any) -> Any:
        return self._args

    def after_run(self, run_context: Any, run_values: Any) -> None:
        now = time.perf_counter()
        if self._last is None:
            log.info("loss = %s, step = %d", run_values.results, self.step)
        else:
            seconds = now - self._last[1]
            rate = (self.step - self._last[0]) / seconds if seconds > 0 else 0.0
            log.info("loss = %s, step = %d (%.3f sec, %.6g steps/s)", run_values.results, self.step, seconds, rate)
            if rate:
                value = v1.Summary(value=[v1.Summary.Value(tag="global_step/sec", simple_value=rate)])
                self._events.add(value.SerializeToString(), self.step)
        self._last = (self.step, now)
        self._next = self.step + self._every

    def end(self, session: Any) -> None:
        log.info("Training ended at step %d.", self.step)
