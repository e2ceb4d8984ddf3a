"""The engine's own errors. Documented ones are ValueError, TypeError or KeyError, as the API documents say; these are
for what the documents leave open. Each message says what was found, where, and the remedy."""

from __future__ import annotations

import tensorflow as tf


class EstimatorError(RuntimeError):
    """Base of the engine's own errors."""


class CheckpointError(EstimatorError, ValueError):
    """A checkpoint is missing, half written, of another model, or outside the model directory."""


class EmptyInputError(EstimatorError, ValueError):
    """`input_fn` ended before it gave one batch."""


class GlobalStepError(EstimatorError, ValueError):
    """The train_op never raises the global step, so that training could not end."""


class InputShapeError(EstimatorError, ValueError):
    """A batch does not fit what the model was traced with."""


class MissingFeatureError(EstimatorError, KeyError, ValueError):
    """The features lack one that a column, a head or a model asks for. (The documents say KeyError; the old library
    raised ValueError.)"""

    def __str__(self) -> str:
        return str(self.args[0])


class NotReadyError(EstimatorError):
    """What a model_fn's Scaffold holds leaves the model without values, or says that it is not ready."""


class NanLossDuringTrainingError(EstimatorError, tf.compat.v1.train.NanLossDuringTrainingError):  # type: ignore[misc]
    """The loss became NaN or infinite; the last checkpoint before that is untouched.

    Attributes:
        step: the global step whose loss was not finite.
    """

    def __init__(self, message: str = "NaN loss during training.", step: int | None = None) -> None:
        super().__init__(message)
        self.step = step

    def __str__(self) -> str:
        return str(self.args[0])


class LostWorkerError(EstimatorError):
    """Another process of the cluster died, or can't be reached."""
