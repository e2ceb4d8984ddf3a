"""Functions of a traced graph, called on any set of variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..distribution.replicate import prefix, replicate
from ..distribution.strategy import ReplicaStrategy
from ..variables import TracedVariable, VariableSet
from .captures import Captures
from .direct_call import run_function
from .subgraph import Subgraph, taken_by
from .threads import wrapped

v1 = tf.compat.v1


class CapturedFunction:
    """A function whose captured variable handles are replaced at each call by those of a set of variables.

    Args:
        captures: the variables that it captured.
        concrete: the function.
    """

    def __init__(self, captures: Captures, concrete: Any) -> None:
        known = captures.reference.handles()
        self.concrete = concrete
        self.output_types = [t.dtype for t in concrete.outputs]
        self.config = optimization()
        self._captured = [(c, known.get(id(c))) for c in concrete.captured_inputs]

    def bind(self, state: VariableSet) -> list[tf.Tensor]:
        """The arguments that follow those of a call: handles of `state` for model variables."""
        bound = state.bound.get(self)
        if bound is None:
            bound = state.bound[self] = [
                capture if variable is None else state.variable_on(*variable).handle
                for capture, variable in self._captured
            ]
        return bound

    def __call__(self, arguments: Sequence[tf.Tensor], state: VariableSet) -> list[tf.Tensor]:
        """Runs it; returns its outputs."""
        return run_function(self.concrete, [*arguments, *self.bind(state)], self.output_types, self.config)


class Function(CapturedFunction):
    """A subgraph as a function: takes its feeds, returns one tensor per fetched tensor.

    Args:
        captures: the variables that it captured.
        concrete: the function.
        own: how many of its feeds each replica has for itself.

    Attributes:
        captures: see above.
    """

    def __init__(self, captures: Captures, concrete: Any, own: int) -> None:
        super().__init__(captures, concrete)
        self.captures = captures
        self._own = own

    def argument_indices(self, position: int) -> list[int]:
        """Which arguments are the component at `position` of the replicas' batches."""
        return [position + self._own * replica for replica in range(len(self.captures.devices))]


def build_function(
    subgraph: Subgraph, own: int, devices: Sequence[str | None], captures: Captures, strategy: ReplicaStrategy | None
) -> Function:
    """The function of a subgraph.

    Args:
        subgraph: what it runs.
        own: how many of the feeds, the first ones, come once per replica; the others are for all.
        devices: of the replicas' copies of the variables.
        captures: the variables that it captures.
        strategy: of the replicas, if there are several.
    """
    used, first = taken_by(subgraph.definition), [f.name for f in [*subgraph.operations, *subgraph.tensors]]
    definition = subgraph.definition
    if strategy is not None:
        definition = replicate(definition, strategy.replicas, strategy.marks)

    def body(*arguments: tf.Tensor) -> list[tf.Tensor]:
        fed = [_fed(subgraph.feeds, arguments, own, len(devices), replica) for replica in range(len(devices))]
        inputs: dict[str, tf.Tensor] = {}
        for replica, device in enumerate(devices):
            given = {**_outside(subgraph.variables, subgraph.shared, captures, device), **fed[replica]}
            if strategy is not None and strategy.replica_id in used:
                given[strategy.replica_id] = tf.constant(strategy.replicas.first + replica)
            inputs.update({prefix(replica) + name: tensor for name, tensor in given.items() if name in used})
        wanted = [name for name in first if name not in fed[0]]
        others = [prefix(replica) + name for replica in range(1, len(devices)) for name in wanted]
        imported = tf.import_graph_def(definition, input_map=inputs, return_elements=[*wanted, *others], name="")
        made = {**dict(zip(wanted, imported, strict=False)), **fed[0]}
        # What the first replica does for a fetch, the others do too.
        must_run = [made[op.name] for op in subgraph.operations] + imported[len(wanted) :]
        with tf.control_dependencies(must_run):
            outputs = [tf.identity(made[t.name]) for t in subgraph.tensors] or [tf.constant(0, tf.int32)]
        # Where a function is inlined, what waits for it waits for its control outputs only.
        waited = [item.op if isinstance(item, tf.Tensor) else item for item in must_run]
        v1.get_default_graph().control_outputs.extend([*waited, *(t.op for t in outputs)])
        return outputs

    feeds = [*subgraph.feeds[:own] * len(devices), *subgraph.feeds[own:]]
    return Function(captures, wrapped(body, [tf.TensorSpec(t.shape, t.dtype) for t in feeds]), own)


def _outside(
    variables: Sequence[TracedVariable], shared: dict[str, tf.Tensor], captures: Captures, device: str | None
) -> dict[str, tf.Tensor]:
    """By name, the handles that one replica takes."""
    handles = {t.variable.handle.name: captures.handle(t, device) for t in variables} | shared
    return {name: tf.identity(handle) for name, handle in handles.items()}


def _fed(
    feeds: Sequence[tf.Tensor], arguments: Sequence[tf.Tensor], own: int, replicas: int, replica: int
) -> dict[str, tf.Tensor]:
    """By name, the tensors that one replica is fed."""
    given = [*arguments[own * replica : own * (replica + 1)], *arguments[own * replicas :]]
    return {feed.name: tensor for feed, tensor in zip(feeds, given, strict=True)}


def call(function: CapturedFunction, arguments: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Adds the call of a function, with all of its arguments, to the graph that is being made."""
    return list(
        tf.raw_ops.StatefulPartitionedCall(
            args=list(arguments), Tout=function.output_types, f=function.concrete, config_proto=function.config
        )
    )


def call_once(concrete: Any, arguments: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Runs a function that will not run again, without optimizing it first.

    That takes longer than it saves, and keeps copies of the function's constants: a data set made from 1.7 MB of
    sequences took 0.5 s and 90 MB more.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    types = [t.dtype for t in concrete.outputs]
    serialized = config.SerializeToString()
    return list(
        tf.raw_ops.StatefulPartitionedCall(args=list(arguments), Tout=types, f=concrete, config_proto=serialized)
    )


# What TensorFlow does to a graph before it first runs, but for layouts and the like, which concern GPUs.
_PASSES = ["pruning", "function", "common_subgraph_elimination", "shape", "constfold", "arithmetic", "loop",
           "dependency", "remap", "memory"]  # fmt: skip
_UNTOUCHED = {"disable_model_pruning": False, "disable_meta_optimizer": False}


def optimization() -> bytes:
    """How a function is made ready before its first call: on the CPU by `_PASSES`, once.

    TensorFlow runs more of them, and all twice. That takes 20 ms for a small network instead of 12, and the function is
    no faster (W1, W2, W3, evaluation, prediction). What the user has set by `tf.config.optimizer` is left as it is.
    """
    chosen = tf.config.optimizer
    touched = chosen.get_experimental_options() != _UNTOUCHED or chosen.get_jit()
    if touched or tf.config.list_logical_devices("GPU"):
        return b""
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.optimizers.extend(_PASSES)
    config.graph_options.rewrite_options.meta_optimizer_iterations = 1
    return bytes(config.SerializeToString())
