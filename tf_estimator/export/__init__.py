"""Export: input receivers, export outputs and SavedModels (`est.export`).

May import of the engine's folders: `checkpoint`, `graph`. Start with `saved_model.py`.
"""

from ..export_output import ClassificationOutput, ExportOutput, PredictOutput, RegressionOutput
from .feature import FeatureInfo
from .receiver import (
    ServingInputReceiver,
    SupervisedInputReceiver,
    TensorServingInputReceiver,
    UnsupervisedInputReceiver,
)
from .receiver_fn import (
    build_parsing_serving_input_receiver_fn,
    build_raw_serving_input_receiver_fn,
    build_raw_supervised_input_receiver_fn,
    build_supervised_input_receiver_fn_from_input_fn,
)
from .serving import export_for_serving
from .skew import skew_check
from .supervised_output import EvalOutput, TrainOutput

__all__ = [
    "ClassificationOutput",
    "EvalOutput",
    "ExportOutput",
    "FeatureInfo",
    "PredictOutput",
    "RegressionOutput",
    "ServingInputReceiver",
    "SupervisedInputReceiver",
    "TensorServingInputReceiver",
    "TrainOutput",
    "UnsupervisedInputReceiver",
    "build_parsing_serving_input_receiver_fn",
    "build_raw_serving_input_receiver_fn",
    "build_raw_supervised_input_receiver_fn",
    "build_supervised_input_receiver_fn_from_input_fn",
    "export_for_serving",
    "skew_check",
]
