"""Columns, losses and constants in a model directory's `graph.pbtxt`.

Every column's operations stand in a scope of its name, below the scope of the layer that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped, unused-ignore]

#: Scopes of the layers' operations. A Keras layer repeats the scope that it was made in, once in v1 and twice in v2.
_LAYERS = {
    "linear": re.compile(r"linear/linear_model/(?:(?:linear/)?linear_model/){2}"),
    "dense": re.compile(r"dnn/input_from_feature_columns/input_layer/"),
    "context": re.compile(r"rnn_model/sequence_input_layer/dense_features/|context_features/"),
    "sequence": re.compile(r"rnn_model/sequence_input_layer/sequence_features/|sequence_features/"),
}

#: Operations of a variable, which stand in its scope and say nothing of the column.
_OF_VARIABLES = {"VarHandleOp", "VariableV2", "AssignVariableOp", "VarIsInitializedOp", "ReadVariableOp", "Const"}


class Graph:
    """A `graph.pbtxt`, seen as columns of layers ("linear", "dense", "context", "sequence")."""

    def __init__(self, nodes: Iterable[Any]) -> None:
        self._nodes = {node.name: node for node in nodes}

    @classmethod
    def read(cls, model_dir: str) -> Graph | None:
        """The graph of a model directory, None where there is none or it can't be read."""
        path = Path(model_dir) / "graph.pbtxt"
        if not path.is_file():
            return None
        graph_def = tf.compat.v1.GraphDef()
        try:
            text_format.Parse(path.read_text(), graph_def, allow_unknown_field=True)
        except (text_format.ParseError, UnicodeDecodeError):
            return None
        return cls(graph_def.node)

    def columns(self, layer: str) -> dict[str, list[Any]]:
        """Columns of a layer that have operations: name to nodes."""
        return self._layers[layer]

    @cached_property
    def _layers(self) -> dict[str, dict[str, list[Any]]]:
        layers: dict[str, dict[str, list[Any]]] = {layer: {} for layer in _LAYERS}
        for name, node in self._nodes.items():
            for layer, scope in _LAYERS.items():
                if match := scope.match(name):
                    column, inside, rest = name[match.end() :].partition("/")
                    if inside and not re.match(r"(weights|embedding_weights)/", rest):
                        layers[layer].setdefault(column, []).append(node)
        return {layer: _own_names(columns) for layer, columns in layers.items()}

    def find(self, nodes: Iterable[Any], *operations: str) -> Any:
        """The first of `nodes` with one of these operations, None if there is none."""
        return next((node for node in nodes if node.op in operations), None)

    def bucketize(self, source: str) -> list[float] | None:
        """Boundaries of the bucketized column of `source`, in whichever layer it stands."""
        scope = re.compile(rf"(^|/){re.escape(source)}_bucketized(_\d+)?/")
        for name, node in self._nodes.items():
            if node.op == "Bucketize" and scope.search(name):
                return [round(value, 6) for value in node.attr["boundaries"].list.f]
        return None

    def constant(self, name: str) -> Any:
        """Value of a constant as a numpy array, None if the node is none (or the graph's writer left it out)."""
        node = self._nodes.get(name.partition(":")[0])
        while node is not None and node.op == "Identity":
            node = self._nodes.get(node.input[0].partition(":")[0])
        return None if node is None or node.op != "Const" else tf.make_ndarray(node.attr["value"].tensor)

    def width(self, nodes: Iterable[Any]) -> int | None:
        """Last dimension of the last Reshape of a column, which gives its values to the layer."""
        for node in reversed([node for node in nodes if node.op == "Reshape"]):
            dimensions = node.attr["_output_shapes"].list.shape
            if dimensions and dimensions[0].dim and dimensions[0].dim[-1].size > 0:
                return int(dimensions[0].dim[-1].size)
            for last in (f"{node.name}/shape/1", f"{node.name}/shape/2"):
                width = self.constant(last)
                if width is not None:
                    return int(width)
        return None

    def shared_columns(self) -> dict[str, list[Any]]:
        """Columns that share a variable with others: key to nodes, in the order of the alphabet."""
        scope = re.compile(r"(?:^|/)([^/]+)_shared_embedding/")
        found: dict[str, list[Any]] = {}
        for name, node in self._nodes.items():
            if (match := scope.search(name)) and node.op not in _OF_VARIABLES:
                found.setdefault(match[1], []).append(node)
        used = {key for key in found if any(f"{key}_shared_embedding_weights/" in node.name for node in found[key])}
        return {key: found[key] for key in sorted(used)}

    def loss(self) -> str | None:
        """The head's loss: "multi_class", "sigmoid" (binary or multi-label), "squared", "poisson"; None if unknown."""
        for name, node in self._nodes.items():
            if not re.search(r"(^|/)head/", name) or "/gradients/" in name:
                continue
            if node.op == "SparseSoftmaxCrossEntropyWithLogits":
                return "multi_class"
            if "log_poisson_loss" in name:
                return "poisson"
            if re.search(r"logistic_loss|sigmoid_cross_entropy", name):
                return "sigmoid"
            if node.op == "SquaredDifference":
                return "squared"
        return None

    def v1_hyperparameters(self, optimizer: str) -> dict[str, float]:
        """Arguments of an optimizer of `tf.compat.v1.train` by the names of its constants (`…/Ftrl/learning_rate`)."""
        found: dict[str, float] = {}
        for name, node in self._nodes.items():
            scope, _, argument = name.rpartition("/")
            if node.op == "Const" and scope.rpartition("/")[2] == optimizer and "training/" not in scope:
                value = tf.make_ndarray(node.attr["value"].tensor)
                if value.ndim == 0 and value.dtype.kind == "f":
                    found[argument] = float(value)
        return found


def _own_names(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Leaves out what is no column, and the `_1` that scopes have where their layer's name was taken before."""
    real = {name: nodes for name, nodes in columns.items() if any(node.op not in _OF_VARIABLES for node in nodes)}
    if real and all(name.endswith("_1") for name in real):
        return {name.removesuffix("_1"): nodes for name, nodes in real.items()}
    return real
