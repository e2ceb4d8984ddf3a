"""Modules under which public scripts import parts of `tf.estimator`, beside `tf.estimator` itself."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from ..keys import MetricKeys, PredictionKeys
from .missing import getter, sentence

_STOPPING = "make_early_stopping_hook read_eval_metrics stop_if_higher_hook stop_if_lower_hook "
_HOOKS = (
    "CheckpointSaverHook CheckpointSaverListener FeedFnHook FinalOpsHook GlobalStepWaiterHook LoggingTensorHook "
    "NanLossDuringTrainingError NanTensorHook ProfilerHook SecondOrStepTimer StepCounterHook StopAtStepHook "
    "SummarySaverHook"
)
_RECEIVERS = (
    "ServingInputReceiver TensorServingInputReceiver build_parsing_serving_input_receiver_fn "
    "build_raw_serving_input_receiver_fn"
)
_OUTPUTS = "ClassificationOutput EvalOutput ExportOutput PredictOutput RegressionOutput"

#: Module below `tensorflow_estimator.python.estimator` → the names in it that are public.
_MODULES = {
    "early_stopping": f"{_STOPPING} stop_if_no_decrease_hook stop_if_no_increase_hook",
    "estimator": "Estimator VocabInfo WarmStartSettings",
    "export.export": _RECEIVERS,
    "export.export_lib": f"{_RECEIVERS} {_OUTPUTS}",
    "export.export_output": _OUTPUTS,
    "exporter": "BestExporter Exporter FinalExporter LatestExporter",
    "extenders": "add_metrics",
    "canned.metric_keys": "MetricKeys",
    "canned.parsing_utils": "classifier_parse_example_spec regressor_parse_example_spec",
    "canned.prediction_keys": "PredictionKeys",
    "canned.rnn": "RNNClassifier RNNEstimator",
    "head.base_head": "Head",
    "head.binary_class_head": "BinaryClassHead",
    "head.multi_class_head": "MultiClassHead",
    "head.multi_head": "MultiHead",
    "head.multi_label_head": "MultiLabelHead",
    "head.regression_head": "LogisticRegressionHead PoissonRegressionHead RegressionHead",
    "head.sequential_head": "SequentialHeadWrapper",
    "hooks.basic_session_run_hooks": _HOOKS,
    "hooks.hooks": "InMemoryEvaluatorHook make_stop_at_checkpoint_step_hook",
    "hooks.session_run_hook": "SessionRunArgs SessionRunContext SessionRunHook SessionRunValues",
    "inputs.inputs": "numpy_input_fn pandas_input_fn",
    "inputs.numpy_io": "numpy_input_fn",
    "inputs.pandas_io": "pandas_input_fn",
    "keras": "model_to_estimator",
    "keras_lib": "model_to_estimator",
    "mode_keys": "ModeKeys",
    "model_fn": "EstimatorSpec ModeKeys call_logit_fn",
    "run_config": "RunConfig",
    "training": "EvalSpec TrainSpec train_and_evaluate",
}
#: Modules of canned estimators: theirs are v1's, and those of v2 have `V2` behind their names.
_CANNED = {"baseline": "Baseline", "dnn": "DNN", "dnn_linear_combined": "DNNLinearCombined", "linear": "Linear"}
_ROOTS = ("tensorflow_estimator.python.estimator", "tensorflow.python.estimator")


def install(modern: ModuleType, legacy: ModuleType) -> None:
    """Puts the modules in place. Those that are there stay."""
    import tf_estimator as est

    homes = (est, est.experimental, est.export, est.inputs, est.hooks)
    keys = {"MetricKeys": MetricKeys, "PredictionKeys": PredictionKeys}
    for root in _ROOTS:
        for suffix, names in _MODULES.items():
            _put(f"{root}.{suffix}", {name: keys.get(name) or _find(homes, name) for name in names.split()})
        for suffix, prefix in _CANNED.items():
            kinds = [f"{prefix}{kind}" for kind in ("Classifier", "Estimator", "Regressor")]
            members = {name: getattr(est.v1, name) for name in kinds}
            _put(f"{root}.canned.{suffix}", members | {f"{name}V2": getattr(est, name) for name in kinds})
        _put(f"{root}.estimator_lib", _members(legacy))
        _alias(f"{root}.api._v1.estimator", legacy)
        _alias(f"{root}.api._v2.estimator", modern)
    for name, module in (
        ("tensorflow_estimator.estimator", modern),
        ("tensorflow_estimator._api.v1.estimator", legacy),
        ("tensorflow_estimator._api.v2.estimator", modern),
        ("tensorflow_estimator.compat.v1.estimator", legacy),
        ("tensorflow_estimator.compat.v2.estimator", modern),
    ):
        _alias(name, module)
    if not any(isinstance(finder, _Explaining) for finder in sys.meta_path):
        sys.meta_path.append(_Explaining())


def _find(homes: Iterable[Any], name: str) -> Any:
    return next(getattr(home, name) for home in homes if hasattr(home, name))


def _members(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def _put(name: str, members: dict[str, Any]) -> None:
    if name in sys.modules:
        return
    module = ModuleType(name, f"`{name}`, by tf_estimator.")
    vars(module).update(members)
    _alias(name, module)


def _alias(name: str, module: ModuleType) -> None:
    """Puts `module` under a dotted name, and packages above it where there are none."""
    sys.modules.setdefault(name, module)
    parent, _, last = name.rpartition(".")
    if not parent:
        return
    if parent not in sys.modules:
        package = ModuleType(parent, f"`{parent}`, by tf_estimator.")
        package.__path__ = []
        _alias(parent, package)
    if not hasattr(sys.modules[parent], last):
        setattr(sys.modules[parent], last, sys.modules[name])


class _Explaining(importlib.abc.MetaPathFinder):
    """Says what to use instead where a script imports a name that the engine does not have."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        """Finds nothing.

        Raises:
            ImportError: a name of `tf.estimator` that is missing, or a module of the old library with no counterpart.
        """
        for prefix in ("tensorflow.estimator.", "tensorflow.compat.v1.estimator.", "tensorflow.compat.v2.estimator."):
            said = sentence(fullname.removeprefix(prefix), fullname) if fullname.startswith(prefix) else None
            if said is not None:
                raise ImportError(said, name=fullname)
        if fullname.startswith(tuple(f"{root}." for root in _ROOTS)):
            raise ImportError(
                f"{fullname} has no counterpart in tf_estimator: it was no part of the public API. Take what you need "
                "from tf.estimator (import tf_estimator as est); docs/engine-api.md lists its names.",
                name=fullname,
            )


def explaining(module: ModuleType, prefix: str = "") -> None:
    """Lets a module of ours say what to use instead of what it does not have."""
    module.__path__ = []  # a package: only for those the finders are asked when a name is missing
    vars(module)["__getattr__"] = getter(module.__name__, prefix)
