"""`Estimator`: train, evaluate and predict with a model_fn, as `tf.estimator.Estimator` did."""

from __future__ import annotations

import copy
import functools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from workers.estimator import checkpoint, resume
from workers.estimator.evaluation import evaluate as run_evaluation
from workers.estimator.export import saved_model
from workers.estimator.graph import Trace, in_fresh_thread
from workers.estimator.inputs.call import open_input
from workers.estimator.inputs.source import Source
from workers.estimator.keys import ModeKeys
from workers.estimator.prediction import predictions
from workers.estimator.preparation import prepare
from workers.estimator.run_config import RunConfig
from workers.estimator.signature import call_model_fn, check_model_fn
from workers.estimator.spec import EstimatorSpec
from workers.estimator.tracing import GLOBAL_STEP, new_graph, trace_model
from workers.estimator.training import TrainingRun
from workers.estimator.variables import VariableNames, VariableSet

v1 = tf.compat.v1


def _outside_graphs(method: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a method be called inside `with graph.as_default()` (by a hook, say): it then runs in a thread of its own."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if tf.executing_eagerly():
            return method(*args, **kwargs)
        return in_fresh_thread(lambda: method(*args, **kwargs))

    return call


class Estimator:
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
        self._config = _with_model_dir(config, model_dir)
        self._params = copy.deepcopy(params or {})
        self._warm_start = _warm_start_settings(warm_start_from)
        self._traces: dict[Any, Trace] = {}
        self._state = VariableSet()
        self._snapshots: dict[str, VariableSet] = {}

    @classmethod
    def _refuse_overrides(cls) -> None:
        own = {name for name in vars(Estimator) if not name.startswith("__")}
        for kind in cls.__mro__:
            if kind is Estimator:
                return
            allowed = getattr(kind, "_may_override", ())
            changed = sorted(own & set(vars(kind)) - set(allowed) - {"_may_override"})
            if changed:
                raise ValueError(
                    f"Subclasses of Estimator cannot override members of Estimator: {kind.__name__} overrides {changed}. "
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
        return checkpoint.latest(self.model_dir)

    def eval_dir(self, name: str | None = None) -> str:
        """Directory where `evaluate(name=name)` writes its summaries."""
        return os.path.join(self.model_dir, "eval" if not name else f"eval_{name}")  # noqa: PTH118

    def get_variable_names(self) -> list[str]:
        """Names of the variables in the latest checkpoint.

        Raises:
            ValueError: nothing was trained yet.
        """
        return sorted(checkpoint.Reader(self._trained_path()).shapes)

    def get_variable_value(self, name: str | Sequence[str]) -> Any:
        """Value of a variable (`name` or `name:0`) in the latest checkpoint, as numpy; a list of those for a list.

        Raises:
            ValueError: nothing was trained yet, or there is no such variable.
        """
        reader = checkpoint.Reader(self._trained_path())
        if isinstance(name, str):
            return reader.value(name.removesuffix(":0"))
        return [reader.value(one.removesuffix(":0")) for one in name]

    def _trained_path(self) -> str:
        path = self.latest_checkpoint()
        if path is None:
            raise ValueError(f"Could not find a trained model in model_dir: {self.model_dir}; call train() first.")
        return path

    @_outside_graphs
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
        """
        if steps is not None and max_steps is not None:
            raise ValueError("Can not provide both steps and max_steps; give one of them.")
        _positive("steps", steps)
        _positive("max_steps", max_steps)
        hooks = _checked_hooks(hooks)
        listeners = _checked_listeners(saving_listeners)
        path = self.latest_checkpoint()
        if path is not None and max_steps is not None and _global_step(path) >= max_steps:
            return self
        trace, source = self._open(input_fn, ModeKeys.TRAIN)
        Path(self.model_dir).mkdir(parents=True, exist_ok=True)
        run = TrainingRun(trace, self._state, source, self.model_dir, self._config, hooks, listeners)
        run.begin()
        prepare(trace, self._state, path, self._apply_warm_start)
        if path is not None:
            source.restore(resume.read(path))
        goal = max_steps
        if steps is not None:
            goal = int(self._state[GLOBAL_STEP].numpy()) + steps
        self._state.path = None
        run.run(goal, save_first=path is None)
        return self

    @_outside_graphs
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
        _positive("steps", steps)
        trace, source = self._open(input_fn, ModeKeys.EVAL)
        state = self._state_at(checkpoint_path, trace)
        return run_evaluation(trace, state, source, steps, _checked_hooks(hooks), self.eval_dir(name))

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
        checked = _checked_hooks(hooks)
        opened = _call_outside(lambda: self._open_prediction(input_fn, checkpoint_path))
        yield from predictions(*opened, predict_keys, checked, yield_single_examples)

    def export_saved_model(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
        experimental_mode: str = ModeKeys.PREDICT,
    ) -> bytes:
        """Writes a SavedModel for inference (or another single mode) into a new directory below `export_dir_base`.

        Args:
            export_dir_base: where the timestamped directory is made.
            serving_input_receiver_fn: returns a `ServingInputReceiver` or `TensorServingInputReceiver`.
            assets_extra: destination inside `assets.extra` to the full path of the file to copy there.
            as_text: write the text form.
            checkpoint_path: the checkpoint to export, None for the latest.
            experimental_mode: the mode to export.

        Returns:
            The path of the export as bytes.

        Raises:
            ValueError: no `serving_input_receiver_fn`, no export outputs, or no checkpoint.
        """
        return self.experimental_export_all_saved_models(
            export_dir_base, {experimental_mode: serving_input_receiver_fn}, assets_extra, as_text, checkpoint_path
        )

    @_outside_graphs
    def export_savedmodel(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
        strip_default_attrs: bool = False,
    ) -> bytes:
        """As `export_saved_model`, by its old name.

        Args:
            export_dir_base, serving_input_receiver_fn, assets_extra, as_text, checkpoint_path: as there.
            strip_default_attrs: leave attributes with default values out of the graph.

        Returns:
            The path of the export as bytes.

        Raises:
            ValueError: no `serving_input_receiver_fn`, no export outputs, or no checkpoint.
        """
        receivers = {ModeKeys.PREDICT: serving_input_receiver_fn}
        return saved_model.export(
            self, export_dir_base, receivers, assets_extra, as_text, checkpoint_path, strip_default_attrs
        )

    @_outside_graphs
    def experimental_export_all_saved_models(
        self,
        export_dir_base: str,
        input_receiver_fn_map: Mapping[str, Callable[[], Any]],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
    ) -> bytes:
        """Writes a SavedModel with a MetaGraph for each mode and one set of variables.

        Args:
            export_dir_base: where the timestamped directory is made.
            input_receiver_fn_map: mode to a function that returns its input receiver.
            assets_extra, as_text, checkpoint_path: as in `export_saved_model`.

        Returns:
            The path of the export as bytes.

        Raises:
            ValueError: an input receiver function is None, no export outputs, or no checkpoint.
        """
        return saved_model.export(self, export_dir_base, input_receiver_fn_map, assets_extra, as_text, checkpoint_path)

    def _evaluate_now(self, input_fn: Any, steps: int | None, hooks: list[Any], name: str | None) -> dict[str, Any]:
        """`evaluate` with the variables as they are in the middle of a training."""

        def run() -> dict[str, Any]:
            trace, source = self._open(input_fn, ModeKeys.EVAL)
            state = self._state.snapshot(None)
            prepare(trace, state, None, None)
            return run_evaluation(trace, state, source, steps, hooks, self.eval_dir(name))

        return _call_outside(run)  # type: ignore[no-any-return]

    def _open_prediction(self, input_fn: Any, path: str | None) -> tuple[Trace, VariableSet, Source]:
        trace, source = self._open(input_fn, ModeKeys.PREDICT)
        state = self._state_at(path, trace)
        if state is self._state and state.path is not None:
            state = self._snapshot()
        elif state is self._state:
            state = state.snapshot(None)
        return trace, state, source

    @_outside_graphs
    def export_saved_model(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
        experimental_mode: str = ModeKeys.PREDICT,
    ) -> bytes:
        """Writes a SavedModel of one mode; see `experimental_export_all_saved_models`."""
        from workers.estimator.export import saved_model

        receivers = {experimental_mode: serving_input_receiver_fn}
        return saved_model.export(self, export_dir_base, receivers, assets_extra, as_text, checkpoint_path, True)

    @_outside_graphs
    def export_savedmodel(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], Any],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
        strip_default_attrs: bool = False,
    ) -> bytes:
        """The older name of `export_saved_model`, with a choice about default attributes."""
        from workers.estimator.export import saved_model

        receivers = {ModeKeys.PREDICT: serving_input_receiver_fn}
        return saved_model.export(
            self, export_dir_base, receivers, assets_extra, as_text, checkpoint_path, strip_default_attrs
        )

    @_outside_graphs
    def experimental_export_all_saved_models(
        self,
        export_dir_base: str,
        input_receiver_fn_map: Mapping[str, Callable[[], Any]],
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
    ) -> bytes:
        """Writes a SavedModel with one MetaGraph per mode and one set of variables.

        Args:
            export_dir_base: where a directory named by the time is made.
            input_receiver_fn_map: mode to a function that returns its input receiver.
            assets_extra: destination inside `assets.extra` to the source file.
            as_text: write `saved_model.pbtxt`.
            checkpoint_path: a certain checkpoint; the latest if None.

        Returns:
            The path of the export as bytes.

        Raises:
            ValueError: no receiver function, no export outputs, or no checkpoint.
        """
        from workers.estimator.export import saved_model

        return saved_model.export(
            self, export_dir_base, input_receiver_fn_map, assets_extra, as_text, checkpoint_path, True
        )

    def _call_model_fn(self, features: Any, labels: Any, mode: str, config: RunConfig | None = None) -> EstimatorSpec:
        """Calls `model_fn` in the current graph."""
        offered = {"mode": mode, "params": self.params, "config": config or self._config, "model_dir": self.model_dir}
        return call_model_fn(self._model_fn, features, labels, offered)

    def _open(self, input_fn: Any, mode: str) -> tuple[Trace, Source]:
        """The source of an input, and the trace that takes its batches."""
        graph = new_graph(self._config.tf_random_seed)
        names = VariableNames()
        offered = {"mode": mode, "params": self.params, "config": self._config, "input_context": None}
        source, batch = open_input(input_fn, graph, names, offered)
        if batch is None:
            key = (mode, repr(source.element_spec))
            if key not in self._traces:
                graph, names = new_graph(self._config.tf_random_seed), VariableNames()
                self._traces[key] = self._trace(graph, names, mode, source.element_spec, None)
            return self._traces[key], source
        return self._trace(graph, names, mode, None, batch), source

    def _trace(self, graph: tf.Graph, names: VariableNames, mode: str, spec: Any, batch: Any) -> Trace:
        def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
            made = self._call_model_fn(features, labels, mode, self._config)
            if mode == ModeKeys.TRAIN:
                v1.summary.scalar("loss", made.loss)
            return made

        return trace_model(graph, names, model_fn, mode, spec=spec, batch=batch, device_fn=self._config.device_fn)

    def _state_at(self, checkpoint_path: str | None, trace: Trace) -> VariableSet:
        """Variables with the values of a checkpoint (the latest if None; initial ones if there is none)."""
        path = os.fspath(checkpoint_path) if checkpoint_path is not None else self.latest_checkpoint()
        if path is not None and path == self._state.path:
            state = self._state
        elif path is not None:
            state = self._snapshots.get(path) or VariableSet()
            self._snapshots = {path: state}
        else:
            state = VariableSet()
        prepare(trace, state, path, self._apply_warm_start)
        return state

    def _snapshot(self) -> VariableSet:
        """The trained variables as they are now, in variables of their own; kept until the model changes."""
        path = str(self._state.path)
        kept = self._snapshots.get(path)
        if kept is None or set(self._state.names()) - set(kept.names()):
            kept = self._state.snapshot(path)
            self._snapshots = {path: kept}
        return kept

    def _apply_warm_start(self, trace: Trace, state: VariableSet) -> None:
        if self._warm_start is not None:
            self._warm_start.apply(trace, state)


def _call_outside(function: Callable[[], Any]) -> Any:
    return function() if tf.executing_eagerly() else in_fresh_thread(function)


def _warm_start_settings(given: Any) -> Any:
    if given is None:
        return None
    from workers.estimator.warm_start import settings_from

    return settings_from(given)


def _with_model_dir(config: RunConfig | None, model_dir: Any) -> RunConfig:
    if config is None:
        config = RunConfig()
    elif not isinstance(config, RunConfig):
        raise ValueError(f"config must be an est.RunConfig, not {type(config).__name__}.")
    if model_dir is not None:
        model_dir = os.fspath(model_dir)
        if config.model_dir is not None and config.model_dir != model_dir:
            raise ValueError(
                f"model_dir is {model_dir!r} in the constructor but {config.model_dir!r} in the RunConfig; give one, or "
                "the same."
            )
    path = model_dir or config.model_dir or tempfile.mkdtemp(prefix="estimator-")
    return config.replace(model_dir=path)


def _global_step(path: str) -> int:
    reader = checkpoint.Reader(path)
    if GLOBAL_STEP not in reader.shapes:
        return checkpoint.step_of(path)
    return int(np.asarray(reader.value(GLOBAL_STEP)))


def _positive(name: str, value: int | None) -> None:
    if value is not None and value <= 0:
        raise ValueError(f"Must specify {name} > 0, given: {value}.")


def _checked_hooks(hooks: Iterable[Any] | None) -> list[Any]:
    checked = list(hooks or ())
    for hook in checked:
        if not isinstance(hook, v1.train.SessionRunHook):
            raise TypeError(f"All hooks must be tf.compat.v1.train.SessionRunHook instances, given: {hook!r}.")
    return checked


def _checked_listeners(listeners: Iterable[Any] | None) -> list[Any]:
    checked = list(listeners or ())
    for listener in checked:
        if not isinstance(listener, v1.train.CheckpointSaverListener):
            raise TypeError(
                f"saving_listeners must be tf.compat.v1.train.CheckpointSaverListener instances, given: {listener!r}."
            )
    return checked
