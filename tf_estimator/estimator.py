"""`Estimator`: train, evaluate and predict with a model_fn, as `tf.estimator.Estimator` did."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from .checkpoint import files, input_position
from .checkpoint.warm_start import settings_from
from .checks import checked_hooks, checked_listeners, whole_steps, with_model_dir
from .distribution.peers import ClusterPeers
from .distribution.replicas import training_replicas
from .estimator_spec import EstimatorSpec
from .export.methods import Exports
from .graph.threads import in_fresh_thread, outside_graphs
from .graph.traced_model import TracedModel
from .inputs.source import BatchSource
from .keys import GLOBAL_STEP, ModeKeys
from .model_fn import check_model_fn
from .run_config import RunConfig
from .training import session_config
from .training.evaluation import evaluate
from .training.model_runtime import ModelRuntime
from .training.prediction import predictions
from .training.run import TrainingRun
from .variables import VariableSet

v1 = tf.compat.v1


class Estimator(Exports):
    """Trains, evaluates and uses the model that `model_fn` describes.

    Args:
        model_fn: takes `features`, and if it has such parameters `labels`, `mode`, `params`, `config`, `model_dir`;
            returns an `EstimatorSpec`. It is called in a graph, by each `train`, `evaluate` and `predict`.
        model_dir: directory of checkpoints and summaries; training continues what is there. Overrides nothing: if
            `config.model_dir` is set too, it must be the same. A temporary one if neither is given.
        config: a `RunConfig`.
        params: hyperparameters, handed to `model_fn` and the input functions.
        warm_start_from: a checkpoint, its directory, a SavedModel, or `WarmStartSettings`: where the values of a new
            model come from.

    Raises:
        ValueError: model_fn's parameters do not fit, two different model directories, or a subclass overrides a method.
    """

    def __init__(
        self,
        model_fn: Callable[..., EstimatorSpec],
        model_dir: str | os.PathLike[str] | None = None,
        config: RunConfig | None = None,
        params: Any = None,
        warm_start_from: Any = None,
    ) -> None:
        self._refuse_overrides()
        check_model_fn(model_fn, params)
        self._config = with_model_dir(config, model_dir)
        session_config.apply(self._config.session_config)
        warm_start = None if warm_start_from is None else settings_from(warm_start_from)
        self._runtime = ModelRuntime(model_fn, self._config, params, warm_start)
        self._exports_untrained = False  # whether the values before the first training are worth an export

    @classmethod
    def _refuse_overrides(cls) -> None:
        own = {name for kind in (Estimator, Exports) for name in vars(kind) if not name.startswith("__")}
        for kind in cls.__mro__:
            if kind is Estimator:
                return
            allowed = getattr(kind, "_may_override", ())
            changed = sorted(own & set(vars(kind)) - set(allowed) - {"_may_override"})
            if changed:
                raise ValueError(
                    f"Subclasses of Estimator cannot override members of Estimator: "
                    f"{kind.__name__} overrides {changed}. "
                    "Put what is special into model_fn, or add methods with other names."
                )

    @property
    def config(self) -> RunConfig:
        return self._config

    @property
    def model_dir(self) -> str:
        return str(self._config.model_dir)

    @property
    def params(self) -> Any:
        """A copy of the hyperparameters."""
        return self._runtime.params

    @property
    def model_fn(self) -> Callable[..., EstimatorSpec]:
        """`model_fn` with `params` (and config, model_dir) bound: a function of features, labels, mode, config."""

        def public(features: Any, labels: Any, mode: str, config: RunConfig) -> EstimatorSpec:
            return self._runtime.call_model_fn(features, labels, mode, config)

        return public

    @property
    def model_runtime(self) -> ModelRuntime:
        """The traces and variables behind this Estimator, for hooks and exporters of one's own."""
        return self._runtime

    def latest_checkpoint(self) -> str | None:
        """Prefix of the latest checkpoint in `model_dir`, or None.

        Raises:
            CheckpointError: the directory's state file is damaged or points elsewhere.
        """
        return files.latest(self.model_dir)

    def eval_dir(self, name: str | None = None) -> str:
        """Directory where `evaluate(name=name)` writes its summaries."""
        return os.path.join(self.model_dir, "eval" if not name else f"eval_{name}")  # noqa: PTH118

    def get_variable_names(self) -> list[str]:
        """Names of the variables in the latest checkpoint.

        Raises:
            ValueError: nothing was trained yet.
        """
        return sorted(files.CheckpointReader(self._trained_path()).shapes)

    def get_variable_value(self, name: str | Sequence[str]) -> Any:
        """Value of a variable (`name` or `name:0`) in the latest checkpoint, as numpy; a list of those for a list.

        Raises:
            ValueError: nothing was trained yet, or there is no such variable.
        """
        reader = files.CheckpointReader(self._trained_path())
        if isinstance(name, str):
            return reader.value(name.removesuffix(":0"))
        return [reader.value(one.removesuffix(":0")) for one in name]

    def _trained_path(self) -> str:
        path = self.latest_checkpoint()
        if path is None:
            raise ValueError(f"Could not find a trained model in model_dir: {self.model_dir}; call train() first.")
        return path

    @outside_graphs
    def train(
        self,
        input_fn: Callable[..., Any],
        hooks: Iterable[Any] | None = None,
        steps: int | None = None,
        max_steps: int | None = None,
        saving_listeners: Iterable[Any] | None = None,
    ) -> Estimator:
        """Trains from the latest checkpoint on, and saves one at the end.

        Args:
            input_fn: returns a `tf.data.Dataset`, features, or `(features, labels)`.
            hooks: session-run hooks.
            steps: how many steps to do in this call; None for as long as the input lasts. A float is rounded up.
            max_steps: global step to stop at; nothing is done if it is reached already. Excludes `steps`.
            saving_listeners: `CheckpointSaverListener`s, called around each save.

        Returns:
            self.

        Raises:
            ValueError: both `steps` and `max_steps`, or one that is not positive; an input without a batch.
            NanLossDuringTrainingError: the loss is not finite; the last checkpoint is untouched.
            CheckpointError: the checkpoint in `model_dir` is damaged or of another model.
            LostWorkerError: another process of the cluster died.
        """
        if steps is not None and max_steps is not None:
            raise ValueError("Can not provide both steps and max_steps; give one of them.")
        steps, max_steps = whole_steps("steps", steps), whole_steps("max_steps", max_steps)
        hooks = checked_hooks(hooks)
        listeners = checked_listeners(saving_listeners)
        replicas = training_replicas(self._config)
        if replicas is None or replicas.workers == 1:
            return self._train(input_fn, hooks, listeners, steps, max_steps, None)
        peers = ClusterPeers(replicas)
        with peers.translating_errors():
            self._train(input_fn, hooks, listeners, steps, max_steps, peers)
            peers.part()
        return self

    def _train(
        self,
        input_fn: Any,
        hooks: list[Any],
        listeners: list[Any],
        steps: int | None,
        max_steps: int | None,
        peers: ClusterPeers | None,
    ) -> Estimator:
        # The chief's checkpoint counts; the others get their values from it.
        runtime = self._runtime
        leads = peers is None or peers.is_chief
        path = self.latest_checkpoint() if leads else None
        begun = -1 if path is None else _global_step(path)
        if peers is not None:
            begun = peers.broadcast_int(begun)
        if max_steps is not None and begun >= max_steps:
            return self
        trace, source = runtime.trace_with_input(input_fn, ModeKeys.TRAIN)
        with contextlib.closing(source):
            if leads:
                Path(self.model_dir).mkdir(parents=True, exist_ok=True)
            run = TrainingRun(trace, runtime.state, source, self.model_dir, self._config, hooks, listeners, peers)
            run.begin()
            runtime.restore_or_initialize(trace, path, warm_start=leads)
            if path is not None:
                source.restore(input_position.read(path))
            if peers is not None:
                peers.broadcast_state(runtime.state, [t.name for t in trace.variables.model()])
                peers.broadcast_position(source)
            goal = max_steps
            if steps is not None:
                goal = int(runtime.state[GLOBAL_STEP].numpy()) + steps
            runtime.state.mark_modified()
            run.run(goal, save_first=begun < 0)
        return self

    @outside_graphs
    def evaluate(
        self,
        input_fn: Callable[..., Any],
        steps: int | None = None,
        hooks: Iterable[Any] | None = None,
        checkpoint_path: str | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Evaluates on the input, and writes the result as summaries under `eval_dir(name)`.

        Args:
            input_fn: as in `train`.
            steps: number of batches; None for all.
            hooks: session-run hooks.
            checkpoint_path: a certain checkpoint; the latest if None, and initial values if there is none.
            name: of the evaluation, when there are several.

        Returns:
            Metric name to value; `loss` (mean over batches) and `global_step` among them.

        Raises:
            ValueError: `steps` is not positive, or the input gives no batch.
            CheckpointError: the checkpoint is missing, damaged or of another model.
        """
        steps = whole_steps("steps", steps)
        checked = checked_hooks(hooks)
        path = self._path(checkpoint_path)
        trace, source = self._runtime.trace_with_input(input_fn, ModeKeys.EVAL, path)
        with contextlib.closing(source):
            state = self._runtime.state_at(path, trace)
            if checked or trace.spec.evaluation_hooks or trace.dependencies.writes_model(trace.evaluation.updates):
                state = self._runtime.own_copy(state, trace)
            return evaluate(trace, state, source, steps, checked, self.eval_dir(name), path)

    def predict(
        self,
        input_fn: Callable[..., Any],
        predict_keys: Sequence[str] | str | None = None,
        hooks: Iterable[Any] | None = None,
        checkpoint_path: str | None = None,
        yield_single_examples: bool = True,
    ) -> Iterator[Any]:
        """Yields predictions. Any number of such generators can be open at once.

        Args:
            input_fn: as in `train`; labels are ignored.
            predict_keys: which predictions; all if None.
            hooks: session-run hooks.
            checkpoint_path: a certain checkpoint; the latest if None, and initial values if there is none.
            yield_single_examples: whether to yield example by example, or batch by batch.

        Yields:
            A dict of arrays, or an array when model_fn predicts a single tensor.

        Raises:
            ValueError: predictions of different batch lengths with `yield_single_examples`, or `predict_keys` that do
                not fit the predictions.
        """
        checked = checked_hooks(hooks)
        trace, state, source = _call_outside(lambda: self._open_prediction(input_fn, checkpoint_path, bool(checked)))
        with contextlib.closing(source):
            yield from predictions(trace, state, source, predict_keys, checked, yield_single_examples)

    def _open_prediction(
        self, input_fn: Any, checkpoint_path: str | None, hooked: bool
    ) -> tuple[TracedModel, VariableSet, BatchSource]:
        path = self._path(checkpoint_path)
        trace, source = self._runtime.trace_with_input(input_fn, ModeKeys.PREDICT, path)
        state = self._runtime.frozen_state_at(path, trace)
        if hooked or trace.spec.prediction_hooks:
            state = self._runtime.own_copy(state, trace)
        return trace, state, source

    def _path(self, checkpoint_path: str | None) -> str | None:
        """The checkpoint that is meant: the latest if None, and None if there is none."""
        return os.fspath(checkpoint_path) if checkpoint_path is not None else self.latest_checkpoint()


def _call_outside(function: Callable[[], Any]) -> Any:
    return function() if tf.executing_eagerly() else in_fresh_thread(function)


def _global_step(path: str) -> int:
    reader = files.CheckpointReader(path)
    if GLOBAL_STEP not in reader.shapes:
        return files.step_of(path)
    return int(np.asarray(reader.value(GLOBAL_STEP)))
