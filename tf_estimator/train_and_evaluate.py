"""`train_and_evaluate`: trains, evaluates each new checkpoint and exports, in one process or as a task of a cluster."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from .estimator import Estimator
from .export.exporter import Exporter

_v1 = tf.compat.v1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSpec:
    """How to train.

    Attributes:
        input_fn: see `Estimator.train`.
        max_steps: global step at which training ends, None to end with the input.
        hooks: session-run hooks of the training.
        saving_listeners: listeners of its checkpoints.

    Raises:
        ValueError: `max_steps` is not positive.
        TypeError: `input_fn` can't be called, or a hook is no hook.
    """

    input_fn: Callable[..., Any]
    max_steps: int | None = None
    hooks: Sequence[Any] | None = None
    saving_listeners: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        if not callable(self.input_fn):
            raise TypeError(f"input_fn must be a function, not {self.input_fn!r}.")
        if self.max_steps is not None and self.max_steps <= 0:
            raise ValueError(f"max_steps must be > 0, or None to train to the end of the input; got {self.max_steps}.")
        object.__setattr__(self, "hooks", _hooks(self.hooks))
        object.__setattr__(self, "saving_listeners", tuple(self.saving_listeners or ()))


@dataclass(frozen=True)
class EvalSpec:
    """How to evaluate and export.

    Attributes:
        input_fn: see `Estimator.evaluate`.
        steps: batches of one evaluation, None for all.
        name: name of the evaluation, see `Estimator.evaluate`.
        hooks: session-run hooks of the evaluations.
        exporters: an `Exporter` or several.
        start_delay_secs: how long an evaluator task waits before its first evaluation.
        throttle_secs: shortest time between the starts of two evaluations; the one at the end always runs.

    Raises:
        ValueError: a number out of range, an empty name, or two exporters of the same name.
        TypeError: `input_fn` can't be called, a hook is no hook, or an exporter no exporter.
    """

    input_fn: Callable[..., Any]
    steps: int | None = 100
    name: str | None = None
    hooks: Sequence[Any] | None = None
    exporters: Any = None
    start_delay_secs: float = 120
    throttle_secs: float = 600

    def __post_init__(self) -> None:
        if not callable(self.input_fn):
            raise TypeError(f"input_fn must be a function, not {self.input_fn!r}.")
        if self.steps is not None and self.steps <= 0:
            raise ValueError(f"steps must be > 0, or None to evaluate to the end of the input; got {self.steps}.")
        if self.name is not None and (not isinstance(self.name, str) or not self.name):
            raise TypeError(f"name must be a string that is not empty, or None; got {self.name!r}.")
        for field in ("start_delay_secs", "throttle_secs"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must be >= 0; got {getattr(self, field)}.")
        object.__setattr__(self, "hooks", _hooks(self.hooks))
        object.__setattr__(self, "exporters", _exporters(self.exporters))


def train_and_evaluate(
    estimator: Estimator, train_spec: TrainSpec, eval_spec: EvalSpec
) -> tuple[dict[str, Any] | None, list[Any] | None] | None:
    """Trains, evaluates and exports.

    Without a cluster in `TF_CONFIG`: trains here and evaluates after a checkpoint when `throttle_secs` have passed
    since the last evaluation, and once at the end. As a task of a cluster: the chief and workers train, an evaluator
    evaluates new checkpoints until `max_steps`.

    Returns:
        without a cluster, the last evaluation and what the exporters returned after it (both None where nothing was
        trained); else None.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: the task type in `TF_CONFIG` can't take part.
    """
    for what, value, kind in (
        ("estimator", estimator, Estimator),
        ("train_spec", train_spec, TrainSpec),
        ("eval_spec", eval_spec, EvalSpec),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{what} must be an est.{kind.__name__}, not {type(value).__name__}.")
    evaluator = _Evaluator(estimator, train_spec, eval_spec)
    task = getattr(estimator.config, "task_type", None) if _has_cluster(estimator.config) else None
    if task is None:
        return _train_here(estimator, train_spec, evaluator)
    if task == "evaluator":
        evaluator.run()
    elif task in ("chief", "master", "worker"):
        _train(estimator, train_spec, ())
    else:
        raise ValueError(
            f"TF_CONFIG gives this process the task type {task!r}; it can be chief, master, worker or evaluator. "
            "Parameter servers are not needed: use a MultiWorkerMirroredStrategy in RunConfig(train_distribute=…)."
        )
    return None


def _has_cluster(config: Any) -> bool:
    cluster = getattr(config, "cluster_spec", None)
    return bool(cluster and cluster.as_dict()) or getattr(config, "task_type", None) == "evaluator"


def _train(estimator: Estimator, spec: TrainSpec, listeners: Iterable[Any]) -> None:
    estimator.train(
        spec.input_fn,
        hooks=list(spec.hooks or ()),
        max_steps=spec.max_steps,
        saving_listeners=[*(spec.saving_listeners or ()), *listeners],
    )


def _train_here(
    estimator: Estimator, spec: TrainSpec, evaluator: _Evaluator
) -> tuple[dict[str, Any] | None, list[Any] | None]:
    _train(estimator, spec, [_EvaluateCheckpoint(evaluator)])
    return evaluator.metrics, None if evaluator.metrics is None else evaluator.exports


class _Evaluator:
    """Evaluates new checkpoints and hands them to the exporters.

    Attributes:
        metrics: the last evaluation.
        exports: what the exporters returned after it, None left out.
    """

    def __init__(self, estimator: Estimator, train_spec: TrainSpec, eval_spec: EvalSpec) -> None:
        self.estimator, self.train_spec, self.eval_spec = estimator, train_spec, eval_spec
        self.metrics: dict[str, Any] | None = None
        self.exports: list[Any] = []
        self._checkpoint: str | None = None
        self._exported: dict[str, Any] = {}
        self._final = False

    def evaluate(self, last: bool) -> None:
        """Evaluates the newest checkpoint if it is a new one; `last` says that training has ended."""
        path = self.estimator.latest_checkpoint()
        if path is None:
            return
        if path != self._checkpoint:
            self._checkpoint, self._exported = path, {}
            spec = self.eval_spec
            self.metrics = self.estimator.evaluate(
                spec.input_fn, steps=spec.steps, hooks=list(spec.hooks or ()), checkpoint_path=path, name=spec.name
            )
            self._export(path, last or self._reached())
        elif last and not self._final:
            # Evaluated before anyone knew that it was the last one: the exporters that wait for the end are left.
            self._export(path, True)

    def run(self) -> None:
        """Evaluates until a checkpoint has reached `max_steps`; the loop of an evaluator task."""
        time.sleep(self.eval_spec.start_delay_secs)
        while not self._final:
            started = time.monotonic()
            self.evaluate(last=False)
            if not self._final:
                # Half a second at least, so that waiting for the first checkpoint is no busy loop.
                time.sleep(max(0.5, self.eval_spec.throttle_secs - (time.monotonic() - started)))

    def _reached(self) -> bool:
        limit = self.train_spec.max_steps
        return limit is not None and self.metrics is not None and self.metrics["global_step"] >= limit

    def _export(self, path: str, final: bool) -> None:
        for exporter in self.eval_spec.exporters:
            if self._exported.get(exporter.name) is None:
                directory = os.path.join(self.estimator.model_dir, "export", exporter.name)  # noqa: PTH118
                result = exporter.export(self.estimator, directory, path, self.metrics, final)
                self._exported[exporter.name] = result
        self.exports = [result for result in self._exported.values() if result is not None]
        self._final = final


class _EvaluateCheckpoint(tf.compat.v1.train.CheckpointSaverListener):  # type: ignore[misc]
    """Evaluates in the training process, after checkpoints."""

    def __init__(self, evaluator: _Evaluator) -> None:
        self._evaluator = evaluator
        self._last: float | None = None
        self._start = 0

    def begin(self) -> None:
        path = self._evaluator.estimator.latest_checkpoint()
        self._start = int(path.rpartition("-")[2]) if path else 0

    @property
    def asynchronous(self) -> bool:
        """The variables of the training can be evaluated as they are only while they equal the checkpoint."""
        return not self._due()

    def after_save(self, session: Any, global_step_value: int) -> None:
        if global_step_value == self._start:
            return  # saved before the first step: nothing new to evaluate
        if self._due():
            self._last = time.monotonic()
            self._evaluator.evaluate(last=False)

    def _due(self) -> bool:
        return self._last is None or time.monotonic() - self._last >= self._evaluator.eval_spec.throttle_secs

    def end(self, session: Any, global_step_value: int) -> None:
        self._evaluator.evaluate(last=True)


def _hooks(hooks: Iterable[Any] | None) -> tuple[Any, ...]:
    checked = tuple(hooks or ())
    for hook in checked:
        if not isinstance(hook, _v1.train.SessionRunHook):
            raise TypeError(f"hooks must be session-run hooks (est.hooks.SessionRunHook), not {hook!r}.")
    return checked


def _exporters(exporters: Any) -> tuple[Exporter, ...]:
    if exporters is None:
        return ()
    checked = (exporters,) if isinstance(exporters, Exporter) else tuple(exporters)
    names = []
    for exporter in checked:
        if not isinstance(exporter, Exporter):
            raise TypeError(f"exporters must be est.Exporter objects, not {exporter!r}.")
        if not exporter.name:
            raise ValueError(f"{type(exporter).__name__} needs a name, which becomes its directory.")
        names.append(exporter.name)
    if len(set(names)) < len(names):
        raise ValueError(f"Exporters must have different names, which become their directories; got {names}.")
    return checked
