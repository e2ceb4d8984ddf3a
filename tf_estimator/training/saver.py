"""Saving the model while it trains: values, input position, graph, listeners, retention.

A save takes a snapshot between two steps. A small one is written at once. A big one is written by one background thread
while the training goes on; its outcome, the listeners' `after_save` or the error, is handled in the training thread.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import tensorflow as tf

from ..checkpoint import files, input_position
from ..checkpoint.partition import slice_of
from ..checkpoint.retention import Retention
from ..checkpoint.snapshot import Snapshot
from ..graph.threads import eagerly
from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from ..run_config import RunConfig
from ..variables import VariableSet
from .scaffold import saver_of
from .session import EngineSession

v1 = tf.compat.v1
log = logging.getLogger(__name__)

BASENAME = "model.ckpt"

#: Smaller models are written in the training thread: the write takes less than what a second thread costs the loop.
BACKGROUND_BYTES = 1 << 22


class ModelSaver:
    """Writes the checkpoints of one training run.

    At most one write is under way: the next save waits for it, so every checkpoint that was begun gets complete.

    Args:
        directory: the model directory.
        config: says what is kept, and whether big models are written in the background.
        trace, state, session, source: the run.
        listeners: `tf.compat.v1.train.CheckpointSaverListener`s. `after_save` expects a checkpoint on disk and a
            session at its step, so with listeners everything is written at once, unless each of them has a true
            attribute `asynchronous`: its `after_save` may then come some steps later.
    """

    def __init__(
        self,
        directory: str,
        config: RunConfig,
        trace: TracedModel,
        state: VariableSet,
        session: EngineSession,
        source: BatchSource,
        listeners: Sequence[Any] = (),
    ) -> None:
        self.last_step: int | None = None
        self.listeners = list(listeners)
        self._directory = directory
        self._config = config
        self._trace = trace
        self._state = state
        self._session = session
        self._source = source
        self._retention = Retention(directory, config.keep_checkpoint_max, config.keep_checkpoint_every_n_hours)
        self._thread: ThreadPoolExecutor | None = None
        self._pending: tuple[int, Future[None]] | None = None

    def open(self) -> None:
        """Removes what a killed process left of its last write; writes `graph.pbtxt`, if the configuration says so."""
        files.remove_unfinished(self._directory)
        if self._config.checkpoint_save_graph_def:
            tf.io.write_graph(self._trace.graph.as_graph_def(add_shapes=True), self._directory, "graph.pbtxt")

    def save(self, step: int, *, ended: bool = False, finish: bool = False) -> bool:
        """Saves the checkpoint of `step`, with the listeners called around it.

        Args:
            step: the global step that the variables are at.
            ended: whether the run ends here by itself; the next one then starts its input from the beginning.
            finish: whether the files must be there when this returns.

        Returns:
            Whether a listener asked to stop, after this save or the one before.

        Raises:
            NanLossDuringTrainingError: a trainable variable is not finite; nothing is written.
            OSError: the files can't be written; the last checkpoint is untouched.
        """
        asked = self.settle()
        with self._trace.graph.as_default():
            for listener in self.listeners:
                listener.before_save(self._session, step)
        if finish or self._custom() is not None or not self._may_lag():
            self.write(step, ended=ended)
            return self._after_save(step) or asked
        snapshot = self._snapshot(step, ended)
        if snapshot.nbytes < BACKGROUND_BYTES:
            self._write_now(snapshot)
            return self._after_save(step) or asked
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending = (step, self._thread.submit(eagerly, snapshot.write, self._retention))
        return asked

    def write(self, step: int, *, ended: bool = False) -> None:
        """`save` without listeners, complete when it returns."""
        if self._pending is not None:
            wait([self._pending[1]])  # its outcome is for the next `settle`
        custom = self._custom()
        if custom is None:
            self._write_now(self._snapshot(step, ended))
            return
        with self._trace.graph.as_default():
            custom.save(self._session, f"{self._directory}/{BASENAME}", global_step=step, write_meta_graph=False)
        if self._config.checkpoint_save_graph_def:
            files.replace_file(f"{self._prefix(step)}.meta", self._meta_graph())
        self._state.saved_to(self._prefix(step))
        self.last_step = step

    def forget_position(self) -> None:
        """Removes the input's position from the last checkpoint, so that the next run starts from the beginning.

        Raises:
            OSError: the file can't be written.
        """
        if self.last_step is None:
            return
        path = self._prefix(self.last_step) + input_position.SUFFIX
        if input_position.read(self._prefix(self.last_step)):
            files.replace_file(path, input_position.encode({}))

    def poll(self) -> bool:
        """`settle` if a background write has ended; costs nothing otherwise."""
        return self._pending is not None and self._pending[1].done() and self.settle()

    def settle(self) -> bool:
        """Waits for the write that is under way, and notifies the listeners.

        Returns:
            Whether a listener asked to stop.

        Raises:
            NanLossDuringTrainingError, OSError: as `save`; the write failed.
        """
        if self._pending is None:
            return False
        (step, future), self._pending = self._pending, None
        try:
            future.result()
        except Exception:
            self._state.mark_modified()
            raise
        return self._after_save(step)

    def close(self) -> None:
        """Ends the background thread, once its write is on disk."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def abandon(self) -> None:
        """`settle` and `close` for a training that ends by an error, which no further one is to hide."""
        try:
            self.settle()
        except Exception as error:
            log.warning("The last checkpoint that was begun is not complete, or a listener failed: %s", error)
        self.close()

    def _may_lag(self) -> bool:
        return self._config.background_checkpoints and all(getattr(o, "asynchronous", False) for o in self.listeners)

    def _after_save(self, step: int) -> bool:
        with self._trace.graph.as_default():
            asked = [listener.after_save(self._session, step) for listener in self.listeners]
        return any(asked)

    def _write_now(self, snapshot: Snapshot) -> None:
        self._state.mark_modified()
        snapshot.write(self._retention)
        self._state.saved_to(snapshot.prefix)

    def _snapshot(self, step: int, ended: bool) -> Snapshot:
        traced = self._trace.variables.model()
        prefix = self._prefix(step)
        self._state.saved_to(prefix)
        self.last_step = step
        return Snapshot(
            prefix,
            step,
            self._state.values(t.name for t in traced),
            [t.name for t in traced if t.trainable],
            {} if ended else self._source.state(),
            self._meta_graph() if self._config.checkpoint_save_graph_def else None,
            {t.name: part for t in traced if (part := slice_of(t.variable)) is not None},
        )

    def _prefix(self, step: int) -> str:
        return f"{self._directory}/{BASENAME}-{step}"

    def _custom(self) -> Any:
        return saver_of(self._trace)

    def _meta_graph(self) -> bytes:
        graph = self._trace.graph
        keys = [v1.GraphKeys.GLOBAL_VARIABLES, v1.GraphKeys.TRAINABLE_VARIABLES, v1.GraphKeys.GLOBAL_STEP]

        def make() -> bytes:
            with graph.as_default():
                exported = v1.train.export_meta_graph(graph=graph, collection_list=keys)
            return bytes(exported.SerializeToString())

        return self._trace.memo.get(("meta", graph.version), make)  # type: ignore[no-any-return]
