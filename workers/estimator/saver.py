"""Saving the model while it trains: values, input position, graph, listeners, retention."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from workers.estimator import checkpoint, resume
from workers.estimator.errors import NanLossDuringTrainingError
from workers.estimator.graph import Trace
from workers.estimator.inputs.source import Source
from workers.estimator.run_config import RunConfig
from workers.estimator.session import EngineSession
from workers.estimator.variables import VariableSet

v1 = tf.compat.v1
log = logging.getLogger(__name__)

BASENAME = "model.ckpt"


class ModelSaver:
    """Writes the checkpoints of one training run.

    Args:
        directory: the model directory.
        config: says what is kept.
        trace, state, session, source: the run.
        listeners: `tf.compat.v1.train.CheckpointSaverListener`s.
    """

    def __init__(
        self,
        directory: str,
        config: RunConfig,
        trace: Trace,
        state: VariableSet,
        session: EngineSession,
        source: Source,
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
        self._retention = checkpoint.Retention(
            directory, config.keep_checkpoint_max, config.keep_checkpoint_every_n_hours
        )

    def write_graph(self) -> None:
        """Writes `graph.pbtxt`, if the configuration says so."""
        if self._config.checkpoint_save_graph_def:
            tf.io.write_graph(self._trace.graph.as_graph_def(add_shapes=True), self._directory, "graph.pbtxt")

    def save(self, step: int, *, ended: bool = False) -> bool:
        """Writes the checkpoint of `step`, with the listeners called around it.

        Args:
            step: the global step that the variables are at.
            ended: whether the input was used up; a later run then starts it anew.

        Returns:
            Whether a listener asked to stop.

        Raises:
            NanLossDuringTrainingError: a trainable variable is not finite; nothing is written.
            OSError: the files can't be written; the last checkpoint is untouched.
        """
        with self._trace.graph.as_default():
            for listener in self.listeners:
                listener.before_save(self._session, step)
        self.write(step, ended=ended)
        with self._trace.graph.as_default():
            asked = [listener.after_save(self._session, step) for listener in self.listeners]
        return any(asked)

    def write(self, step: int, *, ended: bool = False) -> None:
        """`save` without listeners."""
        traced = self._trace.model_variables()
        bad = self._state.not_finite(t.name for t in traced if t.trainable)
        if bad:
            raise NanLossDuringTrainingError(
                f"Variables became NaN or infinite by global step {step}: {bad}. Nothing was saved; lower the learning "
                "rate, or clip gradients, and train again from the last checkpoint.",
                step,
            )
        prefix = f"{self._directory}/{BASENAME}-{step}"
        custom = getattr(self._trace.spec.scaffold, "saver", None)
        if custom is not None:
            with self._trace.graph.as_default():
                custom.save(self._session, f"{self._directory}/{BASENAME}", global_step=step, write_meta_graph=False)
        else:
            extra = {resume.SUFFIX: resume.encode({} if ended else self._source.state())}
            checkpoint.write(prefix, self._state.values(t.name for t in traced), extra)
            self._retention.add(prefix)
        if self._config.checkpoint_save_graph_def:
            checkpoint.replace_file(prefix + ".meta", self._meta_graph())
        self._state.path = prefix
        self.last_step = step
        log.info("Saved checkpoint %s.", prefix)

    def _meta_graph(self) -> bytes:
        graph = self._trace.graph
        keys = [v1.GraphKeys.GLOBAL_VARIABLES, v1.GraphKeys.TRAINABLE_VARIABLES, v1.GraphKeys.GLOBAL_STEP]

        def make() -> bytes:
            with graph.as_default():
                exported = v1.train.export_meta_graph(graph=graph, collection_list=keys)
            return bytes(exported.SerializeToString())

        return self._trace.cached(("meta", graph.version), make)  # type: ignore[no-any-return]
