"""Snapshots: the content of one checkpoint, taken between two steps, so that another thread can write it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from ..errors import NanLossDuringTrainingError
from . import files, input_position
from .partition import Slice
from .retention import Retention

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A state of the training that later steps do not change.

    Attributes:
        prefix: path of the checkpoint, without suffix.
        step: the global step.
        values: variables by name. They share their memory with the variables until these are written next.
        trained: names of the trainable ones, which must be finite.
        position: of the input, see `input_position`.
        meta: content of the `.meta` file; None for no such file.
        parts: those of the values that are slices of a partitioned variable.
    """

    prefix: str
    step: int
    values: Mapping[str, tf.Tensor]
    trained: Collection[str]
    position: Mapping[str, bytes]
    meta: bytes | None
    parts: Mapping[str, Slice] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum((value.shape.num_elements() or 0) * value.dtype.size for value in self.values.values())

    def write(self, retention: Retention) -> None:
        """Writes the checkpoint, makes it the latest one, and removes those that are over the limit.

        Raises:
            NanLossDuringTrainingError: a trainable variable is not finite; nothing is written.
            OSError: the files can't be written; the last checkpoint is untouched and nothing of this one is left.
        """
        self._check_finite()
        extra = {input_position.SUFFIX: input_position.encode(self.position)}
        if self.meta is not None:
            extra[".meta"] = self.meta
        files.write(self.prefix, self.values, extra, self.parts)
        retention.add(self.prefix)
        log.info("Saved checkpoint %s.", self.prefix)

    def _check_finite(self) -> None:
        bad = [name for name in self.trained if not _finite(self.values[name])]
        if bad:
            raise NanLossDuringTrainingError(
                f"Variables became NaN or infinite by global step {self.step}: {bad}. Nothing was saved; lower the "
                "learning rate, or clip gradients, and train again from the last checkpoint.",
                self.step,
            )


def _finite(value: tf.Tensor) -> bool:
    return not value.dtype.is_floating or bool(np.isfinite(tf.reduce_sum(value * 0).numpy()))
