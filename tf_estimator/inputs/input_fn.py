"""Input functions: the call of an `input_fn`, and the source of batches that its result becomes."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..graph.function import call_once
from ..graph.subgraph import ancestors
from ..variables import VariableNames
from .columns_input import ColumnsInput
from .source import BatchSource, GraphSource, IteratorSource
from .zero_copy import as_tensor, copied

v1 = tf.compat.v1


def accepted(function: Any, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the `offered` keyword arguments that `function` has parameters for."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(offered)
    return {name: value for name, value in offered.items() if name in parameters}


def open_input(
    input_fn: Any, graph: tf.Graph, names: VariableNames, offered: Mapping[str, Any]
) -> tuple[BatchSource, Any]:
    """Calls `input_fn` in `graph`.

    Args:
        input_fn: returns a `tf.data.Dataset`, tensors, or `(features, labels)`.
        graph: where its operations go; when it returns tensors the model is built in the same graph.
        names: collects the variables that it makes.
        offered: `mode`, `params`, `config`, `input_context`: given if it has such parameters.

    Returns:
        The source, and the batch when it is a nest of tensors of `graph` (None for a data set).

    Raises:
        ValueError: it returned nothing, or something else.
    """
    if isinstance(input_fn, ColumnsInput):
        return input_fn.open_source(), None
    with graph.as_default(), names.collect():
        v1.train.create_global_step(graph)
        result = input_fn(**accepted(input_fn, offered))
    if isinstance(result, tf.data.Dataset):
        return _from_dataset(result, graph), None
    if result is None:
        raise ValueError("input_fn returned None; return a tf.data.Dataset, features, or (features, labels).")
    if graph.get_collection(v1.GraphKeys.QUEUE_RUNNERS):
        raise ValueError(
            "input_fn reads from queues (tf.compat.v1.train.batch, slice_input_producer, …), which nothing would fill "
            "here; return a tf.data.Dataset, or use est.inputs.numpy_input_fn or pandas_input_fn."
        )
    return GraphSource(), _tensors(result, graph)


def _from_dataset(dataset: tf.data.Dataset, graph: tf.Graph) -> BatchSource:
    variant = tf.data.experimental.to_variant(dataset) if tf.executing_eagerly() else None
    if variant is None:
        with graph.as_default():
            variant = tf.data.experimental.to_variant(dataset)
    if hasattr(variant, "numpy"):  # Made outside of input_fn, eagerly.
        return IteratorSource(tf.data.experimental.from_variant(variant, dataset.element_spec))
    graph_def = graph.as_graph_def()
    initializers = [op for op in graph.get_collection(v1.GraphKeys.TABLE_INITIALIZERS) if op is not None]
    stamp = fingerprint(graph_def)  # before the rows are taken out of it
    names = [variant.name, *(op.name for op in initializers)]
    nodes = {node.name: node for node in graph_def.node}
    needed = [nodes[name] for name in ancestors(nodes, names, set())[0]]
    direct = _runs_no_function(needed)
    if direct and _prefetches_cached(nodes, variant.op.name):
        names[0] = f"{nodes[variant.op.name].input[0]}:0"
        stamp += " without prefetch"  # another position is saved
    rows = _take_rows(needed)
    part = v1.GraphDef(versions=graph_def.versions, library=graph_def.library, node=needed)

    def make(*given: tf.Tensor) -> tf.Tensor:
        replaced = dict(zip(rows, given, strict=True))
        made = tf.import_graph_def(part, name="", input_map=replaced, return_elements=names)
        with tf.control_dependencies(made[1:]):
            return tf.identity(made[0])

    function = v1.wrap_function(make, [tf.TensorSpec(t.shape, t.dtype) for t in rows.values()])
    made = call_once(function, [*rows.values(), *function.captured_inputs])[0]
    eager = tf.data.experimental.from_variant(made, dataset.element_spec)
    # Tables die with the function, Python functions with the graph.
    kept = (function, graph) if _calls_python(part) else (function,)
    return IteratorSource(eager, stamp, direct=direct, keep_alive=kept)


#: Constants of more bytes are taken for the rows of a data set.
_ROWS_BYTES = 1 << 14


def _take_rows(nodes: list[Any]) -> dict[str, tf.Tensor]:
    """Removes the values of large constants from nodes; returns them by the names of their tensors.

    A function with its constants is kept some four times over: a data set of 200 MB took 800 MB more and twice the
    time, one of 200,000 words 35 times their bytes.
    """
    rows = {}
    for node in nodes:
        if node.op == "Const" and node.attr["value"].tensor.ByteSize() > _ROWS_BYTES:
            value = node.attr["value"].tensor
            rows[f"{node.name}:0"] = as_tensor(copied(tf.make_ndarray(value)))
            value.Clear()  # A scalar zero: others may wait for the node, or want to be where it is.
            value.dtype = node.attr["dtype"].type
            value.tensor_shape.SetInParent()
    return rows


# Data sets that compute in the thread that asks, or in one of their own.
_WITHOUT_FUNCTIONS = {
    "BatchDatasetV2", "CacheDataset", "CacheDatasetV2", "ConcatenateDataset", "PaddedBatchDatasetV2",
    "PrefetchDataset", "RangeDataset", "RepeatDataset", "ShardDataset", "ShuffleDataset", "ShuffleDatasetV2",
    "ShuffleDatasetV3", "SkipDataset", "TakeDataset", "TensorDataset", "TensorSliceDataset", "ZipDataset",
}  # fmt: skip


def _runs_no_function(nodes: Sequence[Any]) -> bool:
    """Whether all data sets among the nodes do without TensorFlow's pool of threads."""
    made = [node for node in nodes if "Dataset" in node.op]
    parallel = any("parallel_copy" in node.attr and node.attr["parallel_copy"].b for node in made)
    return not parallel and all(node.op in _WITHOUT_FUNCTIONS for node in made)


def _prefetches_cached(nodes: Mapping[str, Any], name: str) -> bool:
    """Whether the data set `name` only makes a thread of its own take what is kept in memory.

    That thread, and waiting for it, costs 13 µs a batch, which is more than taking a batch out of memory does.
    """
    node = nodes[name]
    if node.op != "PrefetchDataset":
        return False
    node = nodes[node.input[0]]
    while node.op in {"RepeatDataset", "SkipDataset", "TakeDataset"}:
        node = nodes[node.input[0]]
    if node.op not in {"CacheDataset", "CacheDatasetV2"}:
        return False
    file = nodes[node.input[1]]
    return file.op == "Const" and not tf.make_ndarray(file.attr["value"].tensor).item()


def _calls_python(graph_def: Any) -> bool:
    bodies = [graph_def.node, *(function.node_def for function in graph_def.library.function)]
    return any("PyFunc" in node.op for nodes in bodies for node in nodes)


def _tensors(result: Any, graph: tf.Graph) -> Any:
    def convert(part: Any) -> Any:
        if part is None or isinstance(part, tf.SparseTensor | tf.RaggedTensor):
            return part
        return tf.convert_to_tensor(part)

    with graph.as_default():
        try:
            return _map(convert, result)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"input_fn returned {type(result).__name__}, of which no tensors can be made ({error}); return a "
                "tf.data.Dataset, features, or (features, labels)."
            ) from error


def _map(function: Any, item: Any) -> Any:
    if isinstance(item, Mapping):
        return {key: _map(function, value) for key, value in item.items()}
    if isinstance(item, tuple) and not hasattr(item, "_fields"):
        return tuple(_map(function, value) for value in item)
    if isinstance(item, list) and any(isinstance(value, Mapping) or tf.is_tensor(value) for value in item):
        return tuple(_map(function, value) for value in item)  # `[features, labels]`
    return function(item)


def fingerprint(graph_def: Any) -> str:
    """Digest of what a graph computes, the same in each process for the same program and data.

    TensorFlow numbers the functions of a process through; these numbers are left out.
    """
    digest = hashlib.sha256()
    functions = {f.signature.name: f for f in graph_def.library.function}
    for name in sorted(functions, key=_unnumbered):
        digest.update(_unnumbered(name).encode())
        for node in functions[name].node_def:
            _digest_node(digest, node)
    for node in graph_def.node:
        _digest_node(digest, node)
    return digest.hexdigest()


def _unnumbered(name: str) -> str:
    return re.sub(r"_\d+(?=_|$|:)", "", name)


def _digest_node(digest: Any, node: Any) -> None:
    digest.update(f"{_unnumbered(node.name)} {node.op} {[_unnumbered(i) for i in node.input]}".encode())
    for key in sorted(node.attr):
        value = node.attr[key]
        if not value.HasField("func") and key not in {"_class", "shared_name", "metadata", "token"}:
            digest.update(key.encode() + value.SerializeToString(deterministic=True))
