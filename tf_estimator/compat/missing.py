"""Names of `tf.estimator` that the engine does not have, and what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

_TREES = (
    "{name} is not available: TensorFlow has had no kernels of boosted trees since 2.15. Train gradient boosted trees "
    "with ydf, XGBoost or LightGBM; est.DNNClassifier and est.LinearClassifier take the same feature columns."
)
_TPU = (
    "{name} is not available: the engine trains on CPUs and GPUs. Use est.Estimator with est.RunConfig; the model_fn "
    "stays, `TPUEstimatorSpec` becomes est.EstimatorSpec with eval_metric_ops, `CrossShardOptimizer` is left out."
)
_SDCA = (
    "{name} is not available: its solver keeps its state in a table that no checkpoint holds. Use optimizer='Ftrl' "
    "(with l1 and l2 strengths: tf.keras.optimizers.Ftrl), which minimizes the same loss with the same penalties."
)
_KMEANS = (
    "{name} is not available. Use sklearn.cluster.KMeans or MiniBatchKMeans, whose cluster_centers_ can be a "
    "constant in a model_fn of est.Estimator."
)

#: Dotted name below the namespace → sentence.
MISSING: dict[str, str] = {
    "BoostedTreesClassifier": _TREES,
    "BoostedTreesEstimator": _TREES,
    "BoostedTreesRegressor": _TREES,
    "experimental.KMeans": _KMEANS,
    "experimental.LinearSDCA": _SDCA,
    "experimental.boosted_trees_classifier_train_in_memory": _TREES,
    "experimental.boosted_trees_regressor_train_in_memory": _TREES,
    "tpu": _TPU,
    "tpu.InputPipelineConfig": _TPU,
    "tpu.RunConfig": _TPU,
    "tpu.TPUConfig": _TPU,
    "tpu.TPUEstimator": _TPU,
    "tpu.TPUEstimatorSpec": _TPU,
    "tpu.experimental": _TPU,
    "tpu.experimental.EmbeddingConfigSpec": _TPU,
}


def sentence(name: str, shown: str) -> str | None:
    """What to say to somebody who asks for `name`, which they see as `shown`; None for any other name."""
    return MISSING[name].format(name=shown) if name in MISSING else None


def getter(module: str, prefix: str = "") -> Callable[[str], Any]:
    """The `__getattr__` of a module: raises AttributeError, with what to use instead where that is known.

    Args:
        module: name of the module, for the message.
        prefix: of its members' names in `MISSING`, with a dot at its end.
    """

    def missing_attribute(name: str) -> NoReturn:
        said = sentence(prefix + name, f"{module}.{name}")
        raise AttributeError(said or f"module {module!r} has no attribute {name!r}", name=name)

    return missing_attribute
