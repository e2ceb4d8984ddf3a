"""Looks through a SavedModel before TensorFlow runs any of it. Imported by the predictor process only.

A graph is a program: it may read and write files, and odd ones abort the process that loads them. So every node of
every MetaGraph and function has to be an operation of `ops.txt`: what computes on tensors, variables and in-memory
tables. File operations are taken in one place alone, the saver that `saver_def` names, which no signature may reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2

from app.serving.export_description import BadExport

MAX_GRAPH_BYTES = 2**30
_SAVER_OPS = frozenset({"SaveV2", "RestoreV2", "ShardedFilename", "MergeV2Checkpoints"})
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op", "table_initializer")


@cache
def allowed_ops() -> frozenset[str]:
    return frozenset((Path(__file__).parent / "ops.txt").read_text().split())


def check(directory: Path) -> None:
    """Raises BadExport, naming the operation or asset, when the SavedModel is not one that may be loaded."""
    path = directory / "saved_model.pb"
    try:
        if path.stat().st_size > MAX_GRAPH_BYTES:
            raise BadExport("The export's graph is too large.")
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except OSError:
        raise BadExport("The export has no saved_model.pb.") from None
    except Exception as error:  # protobuf's DecodeError is another class in each of its implementations
        raise BadExport("The export's saved_model.pb is not a SavedModel.") from error
    for meta_graph in saved_model.meta_graphs:
        _check_assets(meta_graph)
        _Walk(meta_graph).check()


def _check_assets(meta_graph: Any) -> None:
    for asset in meta_graph.asset_file_def:
        name = asset.filename
        if not name or name in {".", ".."} or "/" in name or "\\" in name or "\0" in name:
            raise BadExport("The export names an asset outside its assets directory.")


class _Walk:
    """One MetaGraph: which nodes and functions its saver reaches, and which everything else does."""

    def __init__(self, meta_graph: Any) -> None:
        self._meta = meta_graph
        self._nodes = {node.name: node for node in meta_graph.graph_def.node}
        self._functions = {f.signature.name: f for f in meta_graph.graph_def.library.function}

    def check(self) -> None:
        self._refuse_recursion()
        saver = self._meta.saver_def
        saver_nodes = self._before([saver.save_tensor_name, saver.restore_op_name, saver.filename_tensor_name])
        served_nodes = self._before(self._served_names())
        saver_functions = self._called(self._nodes[name] for name in saver_nodes)
        objects = self._meta.object_graph_def.concrete_functions
        served_functions = self._called(self._nodes[name] for name in served_nodes) | self._closure(objects)
        for name, node in self._nodes.items():
            self._check_node(node, in_saver=name in saver_nodes and name not in served_nodes)
        for name, function in self._functions.items():
            in_saver = name in saver_functions and name not in served_functions
            for node in function.node_def:
                self._check_node(node, in_saver=in_saver)

    def _check_node(self, node: Any, *, in_saver: bool) -> None:
        if node.op in allowed_ops() or node.op in self._functions or (in_saver and node.op in _SAVER_OPS):
            return
        raise BadExport(f"The export's graph has the operation {node.op[:100]!r}, which is not allowed here.")

    def _served_names(self) -> list[str]:
        names = []
        for signature in self._meta.signature_def.values():
            names += [tensor.name for tensor in signature.outputs.values()]
        for key in _INIT_COLLECTIONS:
            names += list(self._meta.collection_def[key].node_list.value) if key in self._meta.collection_def else []
        return names

    def _before(self, tensors: Iterable[str]) -> set[str]:
        """Names of the main graph's nodes that those tensors or operations need, themselves included."""
        seen: set[str] = set()
        todo = [_node_name(name) for name in tensors if name]
        while todo:
            name = todo.pop()
            if name not in seen and name in self._nodes:
                seen.add(name)
                todo += [_node_name(given) for given in self._nodes[name].input]
        return seen

    def _called(self, nodes: Iterable[Any]) -> set[str]:
        return self._closure(name for node in nodes for name in self._named_by(node))

    def _closure(self, names: Iterable[str]) -> set[str]:
        seen: set[str] = set()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in seen and name in self._functions:
                seen.add(name)
                todo += [other for node in self._functions[name].node_def for other in self._named_by(node)]
        return seen

    def _named_by(self, node: Any) -> list[str]:
        """Functions that a node may call."""
        names = [node.op] if node.op in self._functions else []
        for value in node.attr.values():
            if value.HasField("func"):
                names.append(value.func.name)
            names += [function.name for function in value.list.func]
        return names

    def _refuse_recursion(self) -> None:
        """A function that reaches itself would run until the stack ends, which kills the process."""
        done: set[str] = set()
        for start in self._functions:
            path: list[tuple[str, list[str]]] = []
            on_path: set[str] = set()
            todo = [start]
            while True:
                if todo:
                    name = todo.pop()
                    if name in on_path:
                        raise BadExport("The export's graph has a function that calls itself.")
                    if name in done or name not in self._functions:
                        continue
                    path.append((name, todo))
                    on_path.add(name)
                    todo = [other for node in self._functions[name].node_def for other in self._named_by(node)]
                elif path:
                    name, todo = path.pop()
                    on_path.discard(name)
                    done.add(name)
                else:
                    break


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
