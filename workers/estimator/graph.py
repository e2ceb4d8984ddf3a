"""One trace of a model_fn: a real `tf.Graph`, run piecewise as functions.

`Trace.function(fetches, feeds)` cuts the operations that a fetch set needs out of the graph and makes a function of
them, whose variable handles are those of a `VariableSet`. Functions are cached by fetch set, because cutting one costs
tens of milliseconds.
"""

from __future__ import annotations

import functools
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import tensorflow as tf

from workers.estimator import program_order
from workers.estimator.variables import TracedVariable, VariableNames, VariableSet

v1 = tf.compat.v1

Method = TypeVar("Method", bound=Callable[..., Any])


def in_fresh_thread(function: Callable[[], Any]) -> Any:
    """Runs `function` in a new thread and returns what it returns, or raises what it raises.

    Keras counts layer names, and TensorFlow keeps the default graph, per thread: a new thread starts from nothing.
    """
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="trace", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def outside_graphs(method: Method) -> Method:
    """Lets a method be called inside `with graph.as_default()`, by a hook for example: in its own thread then."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if tf.executing_eagerly():
            return method(*args, **kwargs)
        return in_fresh_thread(lambda: method(*args, **kwargs))

    return cast(Method, call)


_ONE_SHOT = "OneShotIterator"


class Trace:
    """A graph with what a model_fn made in it.

    Args:
        graph: the graph, model_fn called.
        names: its variables.
        batch: the placeholders of one batch, any nest; None when the batch is made in the graph itself.
        spec: the `EstimatorSpec`.

    Attributes:
        mode: the mode it was traced in.
        train_ops: in TRAIN mode, what one step runs.
        evaluation: in EVAL mode, the metrics.
        reference: the set of variables that functions capture; `run` puts the wanted set in its place.
    """

    def __init__(self, graph: tf.Graph, names: VariableNames, batch: Any, spec: Any) -> None:
        self.graph = graph
        self.spec = spec
        self.batch = batch
        self.names = names
        self.feeds = tf.nest.flatten(batch, expand_composites=True) if batch is not None else []
        self.reference = VariableSet()
        self.local = VariableSet()
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

    def needs_batch(self, fetches: Sequence[Any], feeds: Sequence[tf.Tensor]) -> bool:
        """Whether the fetches depend on the batch's placeholders when `feeds` are given."""

        def search() -> bool:
            self._refresh()
            handles = {t.variable.handle.name for t in self.variables()}
            fed = {t.name for t in self.feeds} | {t.name for t in feeds}
            _, taken = _ancestors(self._nodes, [f.name for f in fetches], handles | fed)
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

    def _cut(self, fetches: list[Any], feeds: list[tf.Tensor]) -> Function:
        self._refresh()
        handles = {t.variable.handle.name: t for t in self.variables()}
        roots = [f.name for f in fetches]
        iterators = {f"{node.name}:0" for node in self._nodes.values() if node.op == _ONE_SHOT} - set(roots)
        nodes, mapped = _ancestors(self._nodes, roots, {*handles, *iterators, *(t.name for t in feeds)})
        shared = {name: self._one_shot_iterator(name) for name in iterators & mapped}
        variables = [traced for name, traced in handles.items() if name in mapped]
        self._materialize(variables)
        part = v1.GraphDef(versions=self._library[0], library=self._library[1])
        part.node.extend(self._nodes[name] for name in nodes)
        program_order.add_control_inputs(part, self._chains)
        tensors = [f for f in fetches if isinstance(f, tf.Tensor)]
        operations = [f for f in fetches if not isinstance(f, tf.Tensor)]

        def body(*arguments: tf.Tensor) -> list[tf.Tensor]:
            inputs = {t.variable.handle.name: tf.identity(self._home(t)[t.name].handle) for t in variables}
            inputs.update({name: tf.identity(handle) for name, handle in shared.items()})
            fed = {feed.name: argument for feed, argument in zip(feeds, arguments, strict=True)}
            inputs.update({name: argument for name, argument in fed.items() if name in mapped})
            cut = [f.name for f in operations + tensors if f.name not in fed]
            made = dict(
                zip(cut, tf.import_graph_def(part, input_map=inputs, return_elements=cut, name=""), strict=True)
            )
            made.update(fed)
            must_run = [made[op.name] for op in operations]
            with tf.control_dependencies(must_run):
                outputs = [tf.identity(made[t.name]) for t in tensors] or [tf.constant(0, tf.int32)]
            # Where a function is inlined, those who wait for it wait for its control outputs only.
            v1.get_default_graph().control_outputs.extend([*must_run, *(t.op for t in outputs)])
            return outputs

        signature = [tf.TensorSpec(t.shape, t.dtype) for t in feeds]

        def make() -> Any:
            return v1.wrap_function(body, signature)

        concrete = make() if tf.executing_eagerly() else in_fresh_thread(make)
        return Function(concrete, self, variables)

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

    def _materialize(self, variables: list[TracedVariable]) -> None:
        model = {t.key for t in self.model_variables()}
        self.reference.ensure([t for t in variables if t.key in model])
        self.local.ensure([t for t in variables if t.key not in model])


class Function:
    """A function cut out of a trace, called with any set of variables."""

    def __init__(self, concrete: Any, trace: Trace, variables: list[TracedVariable]) -> None:
        self.concrete = concrete
        self.trace = trace
        self.variables = variables
        self.output_types = [t.dtype for t in concrete.outputs]
        homes = {id(trace._home(t)[t.name].handle): t.name for t in variables if t.name not in trace.local}
        self._captures = [(c, homes.get(id(c))) for c in concrete.captured_inputs]

    def bind(self, state: VariableSet) -> list[tf.Tensor]:
        """The arguments that follow the batch: handles of `state` for model variables."""
        return [capture if name is None else state[name].handle for capture, name in self._captures]

    def __call__(self, arguments: Sequence[tf.Tensor], state: VariableSet) -> list[tf.Tensor]:
        """Runs it; returns one eager tensor per fetched tensor."""
        outputs = tf.raw_ops.StatefulPartitionedCall(
            args=[*arguments, *self.bind(state)], Tout=self.output_types, f=self.concrete
        )
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _ancestors(nodes: dict[str, Any], roots: list[str], fed: set[str]) -> tuple[dict[str, None], set[str]]:
    """Names of the nodes that `roots` (operations and tensors by name) need, and the fed tensors that they take.

    Raises:
        InvalidArgumentError: a placeholder that is not fed is needed.
    """
    wanted: dict[str, None] = {}
    taken: set[str] = set()
    pending = [root if ":" in root else f"^{root}" for root in roots]
    while pending:
        source, _, index = pending.pop().partition(":")
        if f"{source}:{index or 0}" in fed:
            taken.add(f"{source}:{index or 0}")
            continue
        name = source.removeprefix("^")
        if name in wanted:
            continue
        wanted[name] = None
        node = nodes[name]
        if node.op == "Placeholder" and f"{name}:0" in fed:
            continue  # Only the order of things hangs on it, not its value.
        if node.op == "Placeholder":
            raise tf.errors.InvalidArgumentError(
                None, None, f"You must feed a value for placeholder tensor {name!r}: give it in the feed_dict."
            )
        pending.extend(node.input)
    return wanted, taken
