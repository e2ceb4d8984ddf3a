"""The Estimator library: `from workers import estimator as est`."""

from workers.estimator import inputs
from workers.estimator.errors import (
    CheckpointError,
    EmptyInputError,
    EstimatorError,
    InputShapeError,
    NanLossDuringTrainingError,
)
from workers.estimator.estimator import Estimator
from workers.estimator.keys import ModeKeys
from workers.estimator.run_config import RunConfig
from workers.estimator.spec import EstimatorSpec

__all__ = [
    "CheckpointError",
    "EmptyInputError",
    "Estimator",
    "EstimatorError",
    "EstimatorSpec",
    "InputShapeError",
    "ModeKeys",
    "NanLossDuringTrainingError",
    "RunConfig",
    "inputs",
]
