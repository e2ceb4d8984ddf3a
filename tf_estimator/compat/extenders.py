"""`add_metrics`: an Estimator with further evaluation metrics."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..estimator import Estimator
from ..keys import ModeKeys

_ARGUMENTS = {"features", "labels", "predictions", "config"}


def add_metrics(estimator: Estimator, metric_fn: Callable[..., dict[str, Any]]) -> Estimator:
    """A new Estimator on the same model directory whose `evaluate` also gives the metrics of `metric_fn`.

    Args:
        estimator: any Estimator.
        metric_fn: takes any of the arguments `features`, `labels`, `predictions`, `config` by name and returns a dict
            of name to an updated Metric object or a `(value tensor, update op)` pair. A name that the estimator has
            already replaces its metric.

    Raises:
        ValueError: `metric_fn` has an argument of another name.
        TypeError: `estimator` is no Estimator.
    """
    if not isinstance(estimator, Estimator):
        raise TypeError(f"estimator must be an est.Estimator, not {type(estimator).__name__}.")
    arguments = set(inspect.signature(metric_fn).parameters)
    if not arguments <= _ARGUMENTS:
        raise ValueError(
            f"metric_fn has the arguments {sorted(arguments - _ARGUMENTS)}; it may have {sorted(_ARGUMENTS)} only."
        )
    model_fn = estimator.model_fn

    def with_metrics(features: Any, labels: Any, mode: str, config: Any) -> Any:
        spec = model_fn(features, labels, mode, config)
        if mode != ModeKeys.EVAL:
            return spec
        given = {"features": features, "labels": labels, "predictions": spec.predictions, "config": config}
        added = metric_fn(**{name: given[name] for name in arguments})
        return spec._replace(eval_metric_ops={**(spec.eval_metric_ops or {}), **(added or {})})

    return Estimator(with_metrics, model_dir=estimator.model_dir, config=estimator.config)
