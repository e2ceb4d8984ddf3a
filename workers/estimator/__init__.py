"""The Estimator library: `from workers import estimator as est`.

Imported before TensorFlow, it imports TensorFlow in three quarters of the time.
"""

import workers.estimator.imports  # noqa: F401  the first of all
from workers.estimator import experimental, export, hooks, inputs, layers, polyaxon
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
    GlobalStepError,
    InputShapeError,
    LostWorkerError,
    NanLossDuringTrainingError,
)
from workers.estimator.estimator import Estimator
from workers.estimator.exporter import BestExporter, Exporter, FinalExporter, LatestExporter
from workers.estimator.extenders import add_metrics
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
from workers.estimator.hooks import (
    CheckpointSaverHook,
    CheckpointSaverListener,
    FeedFnHook,
    FinalOpsHook,
    GlobalStepWaiterHook,
    LoggingTensorHook,
    NanTensorHook,
    ProfilerHook,
    SecondOrStepTimer,
    SessionRunArgs,
    SessionRunContext,
    SessionRunHook,
    SessionRunValues,
    StepCounterHook,
    StopAtStepHook,
    SummarySaverHook,
)
from workers.estimator.keras_model import model_to_estimator
from workers.estimator.keys import ModeKeys
from workers.estimator.parse_example_spec import classifier_parse_example_spec, regressor_parse_example_spec
from workers.estimator.run_config import RunConfig
from workers.estimator.spec import EstimatorSpec
from workers.estimator.train_and_evaluate import EvalSpec, TrainSpec, train_and_evaluate
from workers.estimator.warm_start import VocabInfo, WarmStartSettings

__all__ = [
    "BaselineClassifier",
    "BaselineEstimator",
    "BaselineRegressor",
    "BestExporter",
    "BinaryClassHead",
    "CheckpointError",
    "CheckpointSaverHook",
    "CheckpointSaverListener",
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
    "EvalSpec",
    "Exporter",
    "FeedFnHook",
    "FinalExporter",
    "FinalOpsHook",
    "GlobalStepError",
    "GlobalStepWaiterHook",
    "Head",
    "InputShapeError",
    "LatestExporter",
    "LinearClassifier",
    "LinearEstimator",
    "LinearRegressor",
    "LoggingTensorHook",
    "LogisticRegressionHead",
    "LostWorkerError",
    "ModeKeys",
    "MultiClassHead",
    "MultiHead",
    "MultiLabelHead",
    "NanLossDuringTrainingError",
    "NanTensorHook",
    "PoissonRegressionHead",
    "ProfilerHook",
    "RegressionHead",
    "RunConfig",
    "SecondOrStepTimer",
    "SequentialHeadWrapper",
    "SessionRunArgs",
    "SessionRunContext",
    "SessionRunHook",
    "SessionRunValues",
    "StepCounterHook",
    "StopAtStepHook",
    "SummarySaverHook",
    "TrainSpec",
    "VocabInfo",
    "WarmStartSettings",
    "add_metrics",
    "classifier_parse_example_spec",
    "experimental",
    "export",
    "hooks",
    "inputs",
    "layers",
    "model_to_estimator",
    "polyaxon",
    "regressor_parse_example_spec",
    "train_and_evaluate",
]
