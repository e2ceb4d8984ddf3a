"""The Estimator library: `from workers import estimator as est`."""

from workers.estimator import inputs, layers
from workers.estimator.canned.baseline import BaselineClassifier, BaselineEstimator, BaselineRegressor
from workers.estimator.canned.dnn import DNNClassifier, DNNEstimator, DNNRegressor
from workers.estimator.canned.dnn_linear_combined import (
    DNNLinearCombinedClassifier,
    DNNLinearCombinedEstimator,
    DNNLinearCombinedRegressor,
)
from workers.estimator.canned.linear import LinearClassifier, LinearEstimator, LinearRegressor
from workers.estimator.errors import (
    CheckpointError,
    EmptyInputError,
    EstimatorError,
    InputShapeError,
    NanLossDuringTrainingError,
)
from workers.estimator.estimator import Estimator
from workers.estimator.head import (
    BinaryClassHead,
    Head,
    LogisticRegressionHead,
    MultiClassHead,
    MultiHead,
    MultiLabelHead,
    PoissonRegressionHead,
    RegressionHead,
    SequentialHeadWrapper,
)
from workers.estimator.keys import ModeKeys
from workers.estimator.run_config import RunConfig
from workers.estimator.spec import EstimatorSpec

__all__ = [
    "BaselineClassifier",
    "BaselineEstimator",
    "BaselineRegressor",
    "BinaryClassHead",
    "CheckpointError",
    "DNNClassifier",
    "DNNEstimator",
    "DNNLinearCombinedClassifier",
    "DNNLinearCombinedEstimator",
    "DNNLinearCombinedRegressor",
    "DNNRegressor",
    "EmptyInputError",
    "Estimator",
    "EstimatorError",
    "EstimatorSpec",
    "Head",
    "InputShapeError",
    "LinearClassifier",
    "LinearEstimator",
    "LinearRegressor",
    "LogisticRegressionHead",
    "ModeKeys",
    "MultiClassHead",
    "MultiHead",
    "MultiLabelHead",
    "NanLossDuringTrainingError",
    "PoissonRegressionHead",
    "RegressionHead",
    "RunConfig",
    "SequentialHeadWrapper",
    "inputs",
    "layers",
]
