"""The runtime of one model: its traces, and the variable sets that they run on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

import tensorflow as tf

from ..checkpoint import files
from ..checkpoint.warm_start import WarmStartSettings
from ..distribution.replicas import Replicas, evaluation_replicas, training_replicas
from ..distribution.strategy import current
from ..estimator_spec import EstimatorSpec
from ..graph.traced_model import TracedModel
from ..graph.tracing import new_graph, trace_model
from ..inputs.input_fn import open_input
from ..inputs.replica_source import ReplicaSource
from ..inputs.source import BatchSource
from ..keys import ModeKeys
from ..model_fn import call_model_fn
from ..run_config import RunConfig
from ..variables import VariableNames, VariableSet, cellless
from .initialization import initialize_missing, restore_or_initialize
from .scaffold import saver_of
from .trace_cache import TraceCache
from .trace_store import TraceStore

v1 = tf.compat.v1


class ModelRuntime:
    """What an `Estimator` runs its model with; exporters and hooks get it as `Estimator.model_runtime`.

    Args:
        model_fn: the user's.
        config: the run configuration.
        params: hyperparameters, or None.
        warm_start: where the values of a new model come from, if not from initializers.

    Attributes:
        state: the variables that `train` changes.
    """

    def __init__(
        self, model_fn: Callable[..., Any], config: RunConfig, params: Any, warm_start: WarmStartSettings | None
    ) -> None:
        self.model_fn = model_fn
        self.config = config
        self._params = copy.deepcopy(params or {})
        self._warm_start = warm_start
        self._traces = TraceCache(model_fn)
        self._restored: tuple[str | None, frozenset[str]] = (None, frozenset())  # names in the last checkpoint opened
        self._cellless: tuple[str | None, frozenset[str]] = (None, frozenset())
        replicas = training_replicas(config)
        evaluation_replicas(config)  # a strategy that does not fit is refused at once
        self.state = VariableSet(device=replicas.devices[0] if replicas is not None else None)
        self._snapshots: dict[str | None, VariableSet] = {}

    @property
    def params(self) -> Any:
        """A copy of the hyperparameters."""
        return copy.deepcopy(self._params)

    def share_traces(self, store: TraceStore, made_of: Hashable) -> None:
        """Lets Estimators that were made of equal values have one set of traces: the second of them starts at once, and
        computes what it would with traces of its own.

        Only canned estimators without functions of the user's share, on one device.

        Args:
            store: where the traces are. One of its Estimators at a time may run.
            made_of: all that the Estimator was made of but its `RunConfig`, or a digest of it.
        """
        config = self.config
        if (
            config.device_fn is None
            and self._replicas(ModeKeys.TRAIN) is None
            and self._replicas(ModeKeys.EVAL) is None
        ):
            self._traces.share(store, (made_of, config.tf_random_seed, config.mixed_precision))

    def shared(self) -> tuple[TraceStore, Any] | None:
        """The store that this Estimator shares, and what it was made of; None where it shares nothing."""
        return self._traces.shared()

    def call_model_fn(self, features: Any, labels: Any, mode: str, config: RunConfig | None = None) -> EstimatorSpec:
        """Calls `model_fn` in the current graph, with those of mode, params, config and model_dir that it takes.

        Raises:
            ValueError: labels were given but model_fn takes none, or it returned no EstimatorSpec of this mode.
        """
        model_dir = str(self.config.model_dir)
        offered = {"mode": mode, "params": self.params, "config": config or self.config, "model_dir": model_dir}
        return call_model_fn(self.model_fn, features, labels, offered)

    def trace_with_input(self, input_fn: Any, mode: str, path: str | None = None) -> tuple[TracedModel, BatchSource]:
        """The source of an input, and the trace that takes its batches.

        Args:
            input_fn: the user's.
            mode: a `ModeKeys` value.
            path: the checkpoint that the variables will be restored from, if known.

        Raises:
            ValueError: the input does not fit, or the run is distributed and the input is made of tensors.
        """
        replicas = self._replicas(mode)
        graph = new_graph(self.config.tf_random_seed)
        if path != self._restored[0]:
            self._restored = path, frozenset(files.CheckpointReader(path).shapes if path is not None else ())
        restored, kept = self._restored[1], self.cellless_names(path)
        names = VariableNames(restored, kept)
        offered = {"mode": mode, "params": self.params, "config": self.config}
        offered["input_context"] = (replicas or Replicas(("",))).input_context()
        source, batch = open_input(input_fn, graph, names, offered)
        if batch is not None and replicas is not None:
            raise ValueError(
                f"input_fn returned tensors, but the run is distributed over {replicas.total} replicas, which take "
                "batches in turn: return a tf.data.Dataset, or use est.inputs.columns_input_fn."
            )
        if replicas is not None:
            source = ReplicaSource(source, replicas, eager=mode == ModeKeys.EVAL or replicas.workers > 1)
        if batch is not None:
            return self._trace(graph, names, mode, None, batch), source

        def make() -> TracedModel:
            graph, names = new_graph(self.config.tf_random_seed), VariableNames(restored, kept)
            return self._trace(graph, names, mode, source.element_spec, None)

        return self._traces.get((mode, repr(source.element_spec), restored, kept), make), source

    def cellless_names(self, path: str | None) -> frozenset[str]:
        """Names that are kept as earlier releases gave them: those of the checkpoint, or else of the directory's."""
        path = path or files.latest(str(self.config.model_dir))
        if path != self._cellless[0]:
            self._cellless = path, cellless(files.CheckpointReader(path).shapes if path is not None else ())
        return self._cellless[1]

    def restore_or_initialize(self, trace: TracedModel, path: str | None, *, warm_start: bool = True) -> None:
        """Makes `state` hold the values of the checkpoint `path`, or initial ones; see `initialization`."""
        restore_or_initialize(trace, self.state, path, self._apply_warm_start if warm_start else None)

    def state_at(self, path: str | None, trace: TracedModel) -> VariableSet:
        """Variables with the values of a checkpoint, which must not be changed; initial ones if None."""
        if path is not None and saver_of(trace) is not None:
            state = VariableSet()  # The saver may give the variables other values than those that are kept by name.
        elif path is not None and self.state.matches(path):
            state = self.state
        elif path is not None:
            state = self._snapshots.get(path) or VariableSet()
            self._snapshots = {path: state}
        else:
            state = VariableSet()
        restore_or_initialize(trace, state, path, self._apply_warm_start)
        return state

    def frozen_state_at(self, path: str | None, trace: TracedModel) -> VariableSet:
        """As `state_at`, in variables that a later training does not change.

        They are kept until the model changes.
        """
        state = self.state_at(path, trace)
        if state is not self.state:
            return state
        kept = self._snapshots.get(path)
        wanted = {t.name for t in trace.variables.model()} | set(kept.names() if kept is not None else ())
        if kept is None or wanted - set(kept.names()):
            kept = state.snapshot(sorted(wanted))
            self._snapshots = {path: kept}
        return kept

    def own_copy(self, state: VariableSet, trace: TracedModel) -> VariableSet:
        """A copy of the variables that a trace takes, for a run that may write them: its hooks have a session."""
        return state.snapshot(t.name for t in trace.variables.model())

    def present_state(self, trace: TracedModel) -> VariableSet:
        """A copy of the variables as they are, in the middle of a training for example."""
        now = self.state.snapshot(self.state.names())
        initialize_missing(trace, now)
        return now

    def _replicas(self, mode: str) -> Replicas | None:
        """The replicas that `RunConfig` asks for; None where one device of TensorFlow's choice is enough."""
        if mode == ModeKeys.TRAIN:
            return training_replicas(self.config)
        return evaluation_replicas(self.config) if mode == ModeKeys.EVAL else None

    def _trace(self, graph: tf.Graph, names: VariableNames, mode: str, spec: Any, batch: Any) -> TracedModel:
        def model_fn(features: Any, labels: Any, mode: str) -> EstimatorSpec:
            made = self.call_model_fn(features, labels, mode, self.config)
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
            device_fn=self.config.device_fn,
            replicas=self._replicas(mode),
        )

    def _apply_warm_start(self, trace: TracedModel, state: VariableSet) -> None:
        if self._warm_start is not None:
            self._warm_start.apply(trace.variables.model(), state)
