"""`est.v1`: `tf.compat.v1.estimator`. Only its canned estimators differ from those of `tf.estimator`."""

import importlib
from typing import Any

from ..canned.v1 import (
    BaselineClassifier,
    BaselineEstimator,
    BaselineRegressor,
    DNNClassifier,
    DNNEstimator,
    DNNLinearCombinedClassifier,
    DNNLinearCombinedEstimator,
    DNNLinearCombinedRegressor,
    DNNRegressor,
    LinearClassifier,
    LinearEstimator,
    LinearRegressor,
)
from .missing import getter

__all__ = [
    "BaselineClassifier",
    "BaselineEstimator",
    "BaselineRegressor",
    "DNNClassifier",
    "DNNEstimator",
    "DNNLinearCombinedClassifier",
    "DNNLinearCombinedEstimator",
    "DNNLinearCombinedRegressor",
    "DNNRegressor",
    "LinearClassifier",
    "LinearEstimator",
    "LinearRegressor",
]

_missing = getter("tf_estimator.v1")


def __getattr__(name: str) -> Any:
    """What is the same as in `est`."""
    shared = importlib.import_module("tf_estimator")
    return getattr(shared, name) if name in shared.__all__ and name not in {"v1", "polyaxon"} else _missing(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *importlib.import_module("tf_estimator").__all__} - {"v1", "polyaxon"})
