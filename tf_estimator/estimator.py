"""`Estimator`: train, evaluate and predict with a model_fn, as `tf.estimator.Estimator` did."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from .checkpoint import files, input_position
from .checkpoint.warm_start import settings_from
from .checks import checked_hooks, checked_listeners, positive, with_model_dir
from .distribution.peers import Colleagues
from .distribution.replicas import Replicas, evaluation_replicas, training_replicas
from .distribution.strategy import current
from .estimator_spec import EstimatorSpec
from .export.methods import Exports
from .graph.build import GLOBAL_STEP, new_graph, trace_model
from .graph.threads import in_fresh_thread, outside_graphs
from .graph.trace import Trace
from .inputs.input_fn import open_input
from .inputs.replica_source import Dealt
from .inputs.source import Source
from .keys import ModeKeys
from .model_fn import call_model_fn, check_model_fn
from .run_config import RunConfig
from .training.evaluation import evaluate as run_evaluation
from .training.initialization import prepare
from .training.prediction import predictions
from .training.run import TrainingRun
from .training.scaffold import saver_of
from .variables import VariableNames, VariableSet

v1 = tf.compat.v1


class Estimator(Exports):
    """Trains, evaluates and uses the model that `model_fn` describes.

    Args:
        model_fn: takes `features`, and if it has such parameters `labels`, `mode`, `params`, `config`, `model_dir`;
            returns an `EstimatorSpec`. It is called in a graph, once per mode and kind of input.
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
        self._model_fn = model_fn
        self._config = with_model_dir(config, model_dir)
        self._params = copy.deepcopy(params or {})
        self._warm_start = None if warm_start_from is None else settings_from(warm_start_from)
        self._traces: dict[Any, Trace] = {}
        self._restored: tuple[str | None, frozenset[str]] = (None, frozenset())  # names in the last checkpoint opened
        replicas = training_replicas(self._config)
        self._state = VariableSet(device=replicas.devices[0] if replicas is not None else None)
        self._snapshots: dict[str, VariableSet] = {}
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
        return copy.deepcopy(self._params)

    @property
    def model_fn(self) -> Callable[..., EstimatorSpec]:
        """`model_fn` with `params` (and config, model_dir) bound: a function of features, labels, mode, config."""

        def public(features: Any, labels: Any, mode: str, config: RunConfig) -> EstimatorSpec:
            return self._call_model_fn(features, labels, mode, config)

        return public

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
        return sorted(files.Reader(self._trained_path()).shapes)

    def get_variable_value(self, name: str | Sequence[str]) -> Any:
        """Value of a variable (`name` or `name:0`) in the latest checkpoint, as numpy; a list of those for a list.

        Raises:
            ValueError: nothing was trained yet, or there is no such variable.
        """
        reader = files.Reader(self._trained_path())
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
            steps: how many steps to do in this call; None for as long as the input lasts.
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
        positive("steps", steps)
        positive("max_steps", max_steps)
        hooks = checked_hooks(hooks)
        listeners = checked_listeners(saving_listeners)
        replicas = training_replicas(self._config)
        if replicas is None or replicas.workers == 1:
            return self._train(input_fn, hooks, listeners, steps, max_steps, None)
        colleagues = Colleagues(replicas)
        with colleagues.working():
            return self._train(input_fn, hooks, listeners, steps, max_steps, colleagues)

    def _train(
        self,
        input_fn: Any,
        hooks: list[Any],
        listeners: list[Any],
        steps: int | None,
        max_steps: int | None,
        colleagues: Colleagues | None,
    ) -> Estimator:
        # The chief's checkpoint counts; the others get their values from it.
        leads = colleagues is None or colleagues.is_chief
        path = self.latest_checkpoint() if leads else None
        begun = -1 if path is None else _global_step(path)
        if colleagues is not None:
            begun = colleagues.number_of_chief(begun)
        if max_steps is not None and begun >= max_steps:
            return self
        trace, source = self._open(input_fn, ModeKeys.TRAIN)
        if leads:
            Path(self.model_dir).mkdir(parents=True, exist_ok=True)
        run = TrainingRun(trace, self._state, source, self.model_dir, self._config, hooks, listeners, colleagues)
        run.begin()
        prepare(trace, self._state, path, self._apply_warm_start if leads else None)
        if path is not None:
            source.restore(input_position.read(path))
        if colleagues is not None:
            colleagues.state_of_chief(self._state, [t.name for t in trace.model_variables()])
            colleagues.position_of_chief(source)
        goal = max_steps
        if steps is not None:
            goal = int(self._state[GLOBAL_STEP].numpy()) + steps
        self._state.path = None
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
        positive("steps", steps)
        path = self._path(checkpoint_path)
        trace, source = self._open(input_fn, ModeKeys.EVAL, path)
        state = self._state_at(path, trace)
        return run_evaluation(trace, state, source, steps, checked_hooks(hooks), self.eval_dir(name))

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
        trace, state, source = _call_outside(lambda: self._open_prediction(input_fn, checkpoint_path))
        yield from predictions(trace, state, source, predict_keys, checked, yield_single_examples)

    def _open_prediction(self, input_fn: Any, checkpoint_path: str | None) -> tuple[Trace, VariableSet, Source]:
        path = self._path(checkpoint_path)
        trace, source = self._open(input_fn, ModeKeys.PREDICT, path)
        state = self._state_at(path, trace)
        if state is self._state:
            state = self._snapshot(trace)
        return trace, state, source

    def _call_model_fn(self, features: Any, labels: Any, mode: str, config: RunConfig | None = None) -> EstimatorSpec:
        """Calls `model_fn` in the current graph."""
        offered = {"mode": mode, "params": self.params, "config": config or self._config, "model_dir": self.model_dir}
        return call_model_fn(self._model_fn, features, labels, offered)

    def _open(self, input_fn: Any, mode: str, path: str | None = None) -> tuple[Trace, Source]:
        """The source of an input, and the trace that takes its batches, on variables restored from a checkpoint."""
        replicas = self._replicas(mode)
        graph = new_graph(self._config.tf_random_seed)
        if path != self._restored[0]:
            self._restored = path, frozenset(files.Reader(path).shapes if path is not None else ())
        restored = self._restored[1]
        names = VariableNames(restored)
        offered = {"mode": mode, "params": self.params, "config": self._config}
        offered["input_context"] = (replicas or Replicas(("",))).input_context()
        source, batch = open_input(input_fn, graph, names, offered)
        if batch is not None and replicas is not None:
            raise ValueError(
                f"input_fn returned tensors, but the run is distributed over {replicas.total} replicas, which take "
                "batches in turn: return a tf.data.Dataset, or use est.inputs.columns_input_fn."
            )
        if replicas is not None:
            source = Dealt(source, replicas, eager=mode == ModeKeys.EVAL or replicas.workers > 1)
        if batch is None:
            key = (mode, repr(source.element_spec), restored)
            if key not in self._traces:
                graph, names = new_graph(self._config.tf_random_seed), VariableNames(restored)
                self._traces[key] = self._trace(graph, names, mode, source.element_spec, None)
            return self._traces[key], source
        return self._trace(graph, names, mode, None, batch), source

    def _replicas(self, mode: str) -> Replicas | None:
        """The replicas that `RunConfig` asks for; None where one device of TensorFlow's choice is enough."""
        if mode == ModeKeys.TRAIN:
            return training_replicas(self._config)
        return evaluation_replicas(self._config) if mode == ModeKeys.EVAL else None

    def _trace(self, graph: tf.Graph, names: VariableNames, mode: str, spec: Any, batch: Any) -> Trace:
        def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
            made = self._call_model_fn(features, labels, mode, self._config)
            if mode == ModeKeys.TRAIN:
                strategy = current()
                if strategy is not None:
                    made = made._replace(loss=strategy.reduced_loss(made.loss))
                v1.summary.scalar("loss", made.loss)
                v1.add_to_collection(v1.GraphKeys.LOSSES, made.loss)
            return made

        return trace_model(
            graph,
            names,
            model_fn,
            mode,
            spec=spec,
            batch=batch,
            device_fn=self._config.device_fn,
            replicas=self._replicas(mode),
        )

    def _path(self, checkpoint_path: str | None) -> str | None:
        """The checkpoint that is meant: the latest if None, and None if there is none."""
        return os.fspath(checkpoint_path) if checkpoint_path is not None else self.latest_checkpoint()

    def _state_at(self, path: str | None, trace: Trace) -> VariableSet:
        """Variables with the values of a checkpoint; initial ones if None."""
        if path is not None and saver_of(trace) is not None:
            state = VariableSet()  # The saver may give the variables other values than those that are kept by name.
        elif path is not None and path == self._state.path:
            state = self._state
        elif path is not None:
            state = self._snapshots.get(path) or VariableSet()
            self._snapshots = {path: state}
        else:
            state = VariableSet()
        prepare(trace, state, path, self._apply_warm_start)
        return state

    def _snapshot(self, trace: Trace) -> VariableSet:
        """The trained variables that a trace takes, as they are now, in variables of their own.

        They are kept until the model changes.
        """
        path = str(self._state.path)
        kept = self._snapshots.get(path)
        wanted = {t.name for t in trace.model_variables()} | set(kept.names() if kept is not None else ())
        if kept is None or wanted - set(kept.names()):
            kept = self._state.snapshot(path, sorted(wanted))
            self._snapshots = {path: kept}
        return kept

    def _apply_warm_start(self, trace: Trace, state: VariableSet) -> None:
        if self._warm_start is not None:
            self._warm_start.apply(trace, state)


def _call_outside(function: Callable[[], Any]) -> Any:
    return function() if tf.executing_eagerly() else in_fresh_thread(function)


def _global_step(path: str) -> int:
    reader = files.Reader(path)
    if GLOBAL_STEP not in reader.shapes:
        return files.step_of(path)
    return int(np.asarray(reader.value(GLOBAL_STEP)))
