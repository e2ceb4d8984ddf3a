"""The Estimator library: `import tf_estimator as est`.

Imported before TensorFlow, it imports TensorFlow in three quarters of the time.
"""

from . import tensorflow_import  # noqa: F401  the first of all

# isort: split

from . import export, feature_column, hooks, inputs
from .canned.baseline import BaselineClassifier, BaselineEstimator, BaselineRegressor
from .canned.dnn import DNNClassifier, DNNEstimator, DNNRegressor
from .canned.dnn_linear_combined import (
    DNNLinearCombinedClassifier,
    DNNLinearCombinedEstimator,
    DNNLinearCombinedRegressor,
)
from .canned.linear import LinearClassifier, LinearEstimator, LinearRegressor
from .checkpoint.warm_start import VocabInfo, WarmStartSettings
from .compat import experimental, layers, polyaxon, predictor, v1
from .compat.extenders import add_metrics
from .compat.keras_model import model_to_estimator
from .compat.missing import getter as _getter
from .errors import (
    CheckpointError,
    EmptyInputError,
    EstimatorError,
    GlobalStepError,
    InputShapeError,
    LostWorkerError,
    NanLossDuringTrainingError,
)
from .estimator import Estimator
from .estimator_spec import EstimatorSpec
from .export.exporter import BestExporter, Exporter, FinalExporter, LatestExporter
from .export.parse_example_spec import classifier_parse_example_spec, regressor_parse_example_spec
from .head import (
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
from .hooks import (
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
from .keys import ModeKeys
from .run_config import RunConfig
from .train_and_evaluate import EvalSpec, TrainSpec, train_and_evaluate
from .version import __version__

__all__ = [
    "__version__",
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
    "feature_column",
    "export",
    "hooks",
    "inputs",
    "layers",
    "model_to_estimator",
    "polyaxon",
    "predictor",
    "regressor_parse_example_spec",
    "train_and_evaluate",
    "v1",
]

__getattr__ = _getter("tf_estimator")
