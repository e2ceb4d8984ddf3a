"""Cuts a written MetaGraph down to what its signatures reach.

A model_fn makes more than serving needs: summaries, metrics, checks that nothing waits for. A server that looks at each
operation before it runs a model should only find what answers a request, and what restores variables and tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped, unused-ignore]
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import saved_model_pb2

_keys = tf.compat.v1.GraphKeys

#: Collections of variables, as serialized `VariableDef`s, and of operations, that loading takes.
_VARIABLES = (_keys.GLOBAL_VARIABLES, _keys.LOCAL_VARIABLES, _keys.TRAINABLE_VARIABLES, _keys.GLOBAL_STEP)
_OPERATIONS = (_keys.TABLE_INITIALIZERS, _keys.ASSET_FILEPATHS, "saved_model_main_op", "legacy_init_op")
_OTHERS = ("saved_model_assets",)


def prune(directory: Path, tag: str) -> None:
    """Rewrites the SavedModel in `directory` with the MetaGraphs of `tag` cut down."""
    binary, text = directory / "saved_model.pb", directory / "saved_model.pbtxt"
    saved_model = saved_model_pb2.SavedModel()
    if text.is_file():
        text_format.Parse(text.read_text(), saved_model)
    else:
        saved_model.ParseFromString(binary.read_bytes())
    for meta_graph in saved_model.meta_graphs:
        if tag in meta_graph.meta_info_def.tags:
            _prune(meta_graph)
    if text.is_file():
        text.write_text(text_format.MessageToString(saved_model))
    else:
        binary.write_bytes(saved_model.SerializeToString(deterministic=True))


def _prune(meta_graph: Any) -> None:
    for key in set(meta_graph.collection_def) - {*_VARIABLES, *_OPERATIONS, *_OTHERS}:
        del meta_graph.collection_def[key]
    roots = {name.lstrip("^").partition(":")[0] for name in _roots(meta_graph)}
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    wanted = _reached(roots & set(nodes), nodes)
    kept = [node for node in meta_graph.graph_def.node if node.name in wanted]
    graph_def = tf.compat.v1.GraphDef(versions=meta_graph.graph_def.versions)
    graph_def.node.extend(kept)
    for node in graph_def.node:
        # Colocation with what is cut away would stop the import.
        together = [name for name in node.attr["_class"].list.s if name.decode().removeprefix("loc:@") in wanted]
        del node.attr["_class"].list.s[:]
        node.attr["_class"].list.s.extend(together)
        if not together:
            del node.attr["_class"]
    _keep_functions(graph_def, meta_graph.graph_def.library)
    meta_graph.graph_def.CopyFrom(graph_def)
    used = {node.op for node in kept} | {n.op for f in graph_def.library.function for n in f.node_def}
    operations = [op for op in meta_graph.meta_info_def.stripped_op_list.op if op.name in used]
    del meta_graph.meta_info_def.stripped_op_list.op[:]
    meta_graph.meta_info_def.stripped_op_list.op.extend(operations)


def _roots(meta_graph: Any) -> Iterator[str]:
    """Names of the tensors and operations that anyone who loads the MetaGraph may ask for."""
    for signature in meta_graph.signature_def.values():
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            yield from _tensors(info)
    saver = meta_graph.saver_def
    yield from (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name)
    for asset in meta_graph.asset_file_def:
        yield from _tensors(asset.tensor_info)
    for key, collection in meta_graph.collection_def.items():
        if key in _VARIABLES:
            for serialized in collection.bytes_list.value:
                definition = variable_pb2.VariableDef.FromString(serialized)
                yield from (
                    definition.variable_name,
                    definition.initializer_name,
                    definition.snapshot_name,
                    definition.initial_value_name,
                )
        elif key in _OPERATIONS:
            yield from collection.node_list.value


def _tensors(info: Any) -> Iterator[str]:
    if info.WhichOneof("encoding") == "coo_sparse":
        sparse = info.coo_sparse
        yield from (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    elif info.WhichOneof("encoding") == "composite_tensor":
        for component in info.composite_tensor.components:
            yield from _tensors(component)
    else:
        yield info.name


def _reached(roots: Iterable[str], nodes: dict[str, Any]) -> set[str]:
    reached: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += [source.lstrip("^").partition(":")[0] for source in nodes[name].input]
    return reached


def _keep_functions(graph_def: Any, library: Any) -> None:
    """Puts the functions of `library` into `graph_def` that its nodes call, directly or through others."""
    functions = {function.signature.name: function for function in library.function}
    gradients = {gradient.function_name: gradient for gradient in library.gradient}
    pending = list(graph_def.node)
    taken: set[str] = set()
    while pending:
        for name in _calls(pending.pop()):
            if name in functions and name not in taken:
                taken.add(name)
                graph_def.library.function.append(functions[name])
                pending += functions[name].node_def
                if name in gradients:
                    graph_def.library.gradient.append(gradients[name])


def _calls(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)
