"""One trace of a model_fn: a real `tf.Graph`, run piecewise as functions.

`Trace.function(fetches, feeds)` cuts the operations that a fetch set needs out of the graph and makes a function of
them, whose variable handles are those of a `VariableSet`. Functions are cached by fetch set, because cutting one costs
tens of milliseconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf

from ..distribution.replicate import copies, prefix
from ..distribution.strategy import ReplicaStrategy
from ..variables import TracedVariable, VariableNames, VariableSet
from . import program_order
from .function import Bound
from .subgraph import Cut, Stack, ancestors, stacks, taken_by
from .threads import wrapped

v1 = tf.compat.v1

_ONE_SHOT = "OneShotIterator"


class Trace:
    """A graph with what a model_fn made in it.

    Args:
        graph: the graph, model_fn called.
        names: its variables.
        batch: the placeholders of one batch, any nest; None when the batch is made in the graph itself.
        spec: the `EstimatorSpec`.
        strategy: that of its replicas, if there are several.

    Attributes:
        mode: the mode it was traced in.
        train_ops: in TRAIN mode, what one step runs.
        evaluation: in EVAL mode, the metrics.
        reference: the set of variables that functions capture; `run` puts the wanted set in its place.
    """

    def __init__(
        self, graph: tf.Graph, names: VariableNames, batch: Any, spec: Any, strategy: ReplicaStrategy | None = None
    ) -> None:
        self.graph = graph
        self.strategy = strategy
        self.spec = spec
        self.batch = batch
        self.names = names
        self.feeds = tf.nest.flatten(batch, expand_composites=True) if batch is not None else []
        home = None if strategy is None else strategy.replicas.devices[0]
        self.reference = VariableSet(device=home, hollow=True)
        self.local = VariableSet(device=home)
        self.mode = ""
        self.train_ops: list[Any] = []
        self.evaluation: Any = None
        self.metric_keys: set[str] = set()
        self._made: dict[Any, Any] = {}
        self._name = f"trace-{uuid.uuid4().hex}"
        self._nodes: dict[str, Any] = {}
        self._library: Any = None
        self._chains: list[list[tf.Operation]] = []
        self._version = -1

    def variables(self) -> list[TracedVariable]:
        """All variables of the graph, those made by hooks included."""
        if self._version != self.graph.version:
            with self.graph.as_default():
                self.names.add_collections(self.graph)
        return self.names.variables

    def model_variables(self) -> list[TracedVariable]:
        """The variables that belong to the model's state: all but local ones and those of metrics."""
        local = {
            id(v)
            for k in ("LOCAL_VARIABLES", "METRIC_VARIABLES")
            for v in self.graph.get_collection(getattr(v1.GraphKeys, k))
        }
        return [t for t in self.variables() if id(t.variable) not in local and t.key not in self.metric_keys]

    def local_variables(self) -> list[TracedVariable]:
        """The variables that live for one evaluation: metrics and other local ones."""
        model = {t.key for t in self.model_variables()}
        return [t for t in self.variables() if t.key not in model]

    def element(self, name_or_object: Any) -> Any:
        """The tensor or operation of the graph that a fetch names; a variable gives its value.

        Raises:
            KeyError, ValueError, TypeError: it is not in the graph.
        """
        if isinstance(name_or_object, bytes):
            name_or_object = name_or_object.decode()
        element = self.graph.as_graph_element(name_or_object)
        if isinstance(element, tf.Tensor) and element.dtype == tf.resource:
            for traced in self.variables():
                if traced.key == element.op.name:
                    return self.graph.as_graph_element(traced.variable)
        return element

    def function(self, fetches: Sequence[Any], feeds: Sequence[tf.Tensor] | None = None) -> Function:
        """The function of a fetch set.

        Args:
            fetches: tensors and operations of the graph; the function returns the tensors, in order.
            feeds: tensors that become arguments; the batch's placeholders if None.
        """
        feeds = self.feeds if feeds is None else list(feeds)
        key = ("function", tuple(f.name for f in fetches), tuple(f.name for f in feeds))
        return self.cached(key, lambda: self._cut(list(fetches), list(feeds)))  # type: ignore[no-any-return]

    def step_function(self, fetches: Sequence[Any], fed: Sequence[tf.Tensor] = (), *, batch: bool = True) -> Function:
        """The function of a fetch set, done by all replicas of this process; returns the first one's tensors.

        Args:
            fetches: as in `function`.
            fed: tensors that become arguments after the batches, the same for all replicas.
            batch: whether the batches' components come first, replica by replica.
        """
        feeds = self.feeds if batch else []
        if self.strategy is None:
            return self.function(fetches, [*feeds, *fed])
        key = ("step function", batch, tuple(f.name for f in fetches), tuple(f.name for f in fed))
        return self.cached(key, lambda: self._cut(list(fetches), list(feeds), list(fed), self.strategy))  # type: ignore[no-any-return]

    @property
    def devices(self) -> list[str | None]:
        """Per replica of this process, where its copies of the variables are; None for the variables themselves."""
        return [None] if self.strategy is None else [None, *self.strategy.replicas.devices[1:]]

    def share(self, state: VariableSet) -> None:
        """Gives the further replicas of this process the values that `state` has now."""
        devices = [device for device in self.devices if device is not None]
        names = [t.name for t in self.model_variables()] if devices else []
        for device in devices:
            state.copy(names, device)
        state.spread(names, devices)

    def writes(self, fetches: Sequence[Any]) -> bool:
        """Whether the fetches change a variable of the model."""
        return bool({t.key for t in self.model_variables()} & self.written(fetches))

    def written(self, fetches: Sequence[Any], fed: Sequence[tf.Tensor] = ()) -> set[str]:
        """Keys of the variables that the fetches may change when `fed` tensors are given."""

        def search() -> set[str]:
            handles = {t.key for t in self.variables()}
            reads = {"ReadVariableOp", "VarIsInitializedOp", "ResourceGather", "VariableShape"}
            needed = [self.graph.get_operation_by_name(name) for name in self._needed(fetches, fed)]
            taken = {t.op.name for op in needed if op.type not in reads for t in op.inputs}
            return handles & taken

        return set(self.cached(("written", self.graph.version, *(f.name for f in fetches)), search))

    def reduces(self, fetches: Sequence[Any]) -> bool:
        """Whether the fetches need a value of all processes of a cluster."""
        if self.strategy is None or self.strategy.replicas.workers == 1:
            return False
        marks = {mark.operation for mark in self.strategy.marks}
        return bool(self.cached(("reduces", tuple(f.name for f in fetches)), lambda: marks & self._needed(fetches)))

    def _needed(self, fetches: Sequence[Any], fed: Sequence[tf.Tensor] = ()) -> set[str]:
        """Names of the operations that the fetches need."""
        self._refresh()
        return set(ancestors(self._nodes, [f.name for f in fetches], {t.name for t in [*self.feeds, *fed]})[0])

    def needs_batch(self, fetches: Sequence[Any], feeds: Sequence[tf.Tensor]) -> bool:
        """Whether the fetches depend on the batch's placeholders when `feeds` are given."""

        def search() -> bool:
            self._refresh()
            handles = {t.variable.handle.name for t in self.variables()}
            fed = {t.name for t in self.feeds} | {t.name for t in feeds}
            _, taken = ancestors(self._nodes, [f.name for f in fetches], handles | fed)
            return bool(taken & ({t.name for t in self.feeds} - {t.name for t in feeds}))

        names = (tuple(f.name for f in fetches), tuple(f.name for f in feeds))
        return bool(self.cached(("needs batch", *names), search)) if self.feeds else False

    def _refresh(self) -> None:
        """Reads the graph again when operations came in since."""
        if self._version == self.graph.version:
            return
        variables = self.variables()
        graph_def = self.graph.as_graph_def()
        self._chains = program_order.accesses(self.graph, variables)
        placeholders = {f"^{node.name}" for node in graph_def.node if node.op == "Placeholder"}
        for node in graph_def.node:
            if placeholders.intersection(node.input):
                # Waiting for a placeholder means nothing, and one that is cut out for its feed can't be waited for.
                inputs = [name for name in node.input if name not in placeholders]
                node.ClearField("input")
                node.input.extend(inputs)
            node.attr.pop("_class", None)  # Colocation with nodes that may be cut away; handles know their device.
            if "shared_name" in node.attr and not node.attr["shared_name"].s and node.op != _ONE_SHOT:
                # Functions cut from one graph share its iterators, queues and tables, as runs of a session do.
                node.attr["shared_name"].s = f"{self._name}/{node.name}".encode()
        self._nodes = {node.name: node for node in graph_def.node}
        self._library = (graph_def.versions, graph_def.library)
        self._version = self.graph.version

    def _cut(
        self,
        fetches: list[Any],
        feeds: list[tf.Tensor],
        shared: Sequence[tf.Tensor] = (),
        strategy: ReplicaStrategy | None = None,
    ) -> Function:
        """Cuts a function out; with a strategy `feeds` come once per replica, and `shared` ones after them, for all."""
        devices = [None] if strategy is None else self.devices
        self._refresh()
        handles = {t.variable.handle.name: t for t in self.variables()}
        roots = [f.name for f in fetches]
        iterators = {f"{node.name}:0" for node in self._nodes.values() if node.op == _ONE_SHOT} - set(roots)
        fed = [*feeds, *shared]
        nodes, mapped = ancestors(self._nodes, roots, {*handles, *iterators, *(t.name for t in fed)})
        iterator_handles = {name: self._one_shot_iterator(name) for name in iterators & mapped}
        variables = [traced for name, traced in handles.items() if name in mapped]
        self._materialize(variables, [device for device in devices if device is not None])
        part = self._part(nodes)
        used = taken_by(part)
        tensors = [f for f in fetches if isinstance(f, tf.Tensor)]
        operations = [f for f in fetches if not isinstance(f, tf.Tensor)]
        if strategy is not None:
            part = copies(part, strategy.replicas, strategy.marks)

        def inputs_of(replica: int, arguments: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            device = devices[replica]
            found = {t.variable.handle.name: tf.identity(self._home(t).on(t.name, device).handle) for t in variables}
            found.update({name: tf.identity(handle) for name, handle in iterator_handles.items()})
            found.update(arguments)
            if strategy is not None and strategy.replica_id.partition(":")[0] in nodes:
                found[strategy.replica_id] = tf.constant(strategy.replicas.first + replica)
            return {prefix(replica) + name: tensor for name, tensor in found.items() if name in used}

        def body(*arguments: tf.Tensor) -> list[tf.Tensor]:
            given = [_by_name(arguments, fed, len(feeds), len(devices), r) for r in range(len(devices))]
            inputs: dict[str, tf.Tensor] = {}
            for replica, own in enumerate(given):
                inputs.update(inputs_of(replica, own))
            cut = [f.name for f in operations + tensors if f.name not in given[0]]
            others = [prefix(r) + name for r in range(1, len(devices)) for name in cut]
            imported = tf.import_graph_def(part, input_map=inputs, return_elements=[*cut, *others], name="")
            made = {**dict(zip(cut, imported, strict=False)), **given[0]}
            # What the first replica does for a fetch, the others do too.
            must_run = [made[op.name] for op in operations] + imported[len(cut) :]
            with tf.control_dependencies(must_run):
                outputs = [tf.identity(made[t.name]) for t in tensors] or [tf.constant(0, tf.int32)]
            # Where a function is inlined, those who wait for it wait for its control outputs only.
            waited = [item.op if isinstance(item, tf.Tensor) else item for item in must_run]
            v1.get_default_graph().control_outputs.extend([*waited, *(t.op for t in outputs)])
            return outputs

        signature = [tf.TensorSpec(t.shape, t.dtype) for t in [*feeds * len(devices), *shared]]

        return Function(wrapped(body, signature), self, variables)

    def _part(self, names: Iterable[str]) -> Any:
        """Some of the graph's nodes, those that use variables in the order that is promised."""
        part = v1.GraphDef(versions=self._library[0], library=self._library[1])
        part.node.extend(self._nodes[name] for name in names)
        program_order.add_control_inputs(part, self._chains)
        for step in self.graph.get_collection(v1.GraphKeys.GLOBAL_STEP):
            program_order.read_first(part, step.handle.op.name)
        return part

    def cut(self, fetches: Sequence[Any], feeds: Sequence[tf.Tensor]) -> Cut:
        """What a fetch set needs when `feeds` are given, for one replica; its variables are there afterwards."""
        self._refresh()
        handles = {t.variable.handle.name: t for t in self.variables()}
        roots = [f.name for f in fetches]
        iterators = {f"{node.name}:0" for node in self._nodes.values() if node.op == _ONE_SHOT} - set(roots)
        names, taken = ancestors(self._nodes, roots, {*handles, *iterators, *(t.name for t in feeds)})
        shared = {name: self._one_shot_iterator(name) for name in iterators & taken}
        variables = [traced for name, traced in handles.items() if name in taken]
        self._materialize(variables, [])
        part = self._part(names)
        return Cut(part, list(fetches), list(feeds), taken, variables, shared)

    def stacks(self) -> list[Stack]:
        """The tensors that hold components of the batch side by side."""
        self._refresh()
        return stacks(self.graph, self._nodes, self.feeds)

    def handles(self, cut: Cut, *, waiting: bool = False) -> dict[str, tf.Tensor]:
        """By name, what a part takes from outside beside its feeds, as tensors of the function that is being made.

        With `waiting`, they are there only after the control dependencies that are in force.
        """
        outside = {t.variable.handle.name: self._home(t)[t.name].handle for t in cut.variables} | cut.shared
        take = tf.identity if waiting else v1.get_default_graph().capture
        return {name: take(handle) for name, handle in outside.items()}

    def _one_shot_iterator(self, name: str) -> tf.Tensor:
        """Handle of the one iterator that all functions take, where each would have its own."""

        def make() -> tf.Tensor:
            return self.function([self.graph.get_tensor_by_name(name)], [])([], self.reference)[0]

        return self.cached(("iterator", name), make)

    def value_of(self, name: str) -> tf.Variable:
        """The variable that functions capture for `name`."""
        return self.local[name] if name in self.local else self.reference[name]

    def cached(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` made for `key` the first time; lives as long as the trace."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _home(self, traced: TracedVariable) -> VariableSet:
        return self.local if traced.name in self.local else self.reference

    def _materialize(self, variables: list[TracedVariable], devices: Sequence[str]) -> None:
        model = {t.key for t in self.model_variables()}
        for home, own in ((self.reference, True), (self.local, False)):
            traced = [t for t in variables if (t.key in model) == own]
            home.ensure(traced)
            for device in devices:
                home.copy([t.name for t in traced], device)


class Function(Bound):
    """A function cut out of a trace, called with any set of variables: one eager tensor per fetched tensor."""

    def __init__(self, concrete: Any, trace: Trace, variables: list[TracedVariable]) -> None:
        super().__init__(trace, concrete)
        self.trace = trace
        self.variables = variables

    def places(self, position: int) -> list[int]:
        """Where the component at `position` of one replica's batch is among the arguments."""
        size = len(self.trace.feeds)
        return [position + size * replica for replica in range(len(self.trace.devices))]


def _by_name(arguments: Sequence[tf.Tensor], feeds: list[tf.Tensor], own: int, replicas: int, replica: int) -> Any:
    """What one replica is fed, by name; the first `own` of the feeds are its alone."""
    of_it = arguments[own * replica : own * (replica + 1)]
    return {f.name: a for f, a in zip(feeds, [*of_it, *arguments[own * replicas :]], strict=True)}
