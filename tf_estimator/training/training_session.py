"""The session of a training, through which hooks can also save the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..graph.threads import in_fresh_thread
from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from ..run_config import RunConfig
from ..variables import VariableSet
from .saver import ModelSaver
from .session import EngineSession


class TrainingSession(EngineSession):
    """An `EngineSession` that owns the saver of its training.

    Args:
        trace, state, source: as in `EngineSession`.
        directory: the model directory.
        config: says which checkpoints are kept.
        listeners: checkpoint listeners.

    Attributes:
        checkpoint_dir: the model directory.
        saver: writes the checkpoints of this training.
    """

    def __init__(
        self,
        trace: TracedModel,
        state: VariableSet,
        source: BatchSource,
        directory: str,
        config: RunConfig,
        listeners: Sequence[Any],
    ) -> None:
        super().__init__(trace, state, source)
        self.checkpoint_dir = directory
        self.saver = ModelSaver(directory, config, trace, state, self, source, listeners)

    def save_checkpoint(self, step: int) -> None:
        """Writes the engine's checkpoint of `step` into `checkpoint_dir`; for a hook that takes over the saving."""
        if tf.executing_eagerly():
            self.saver.write(step)
        else:
            in_fresh_thread(lambda: self.saver.write(step))
