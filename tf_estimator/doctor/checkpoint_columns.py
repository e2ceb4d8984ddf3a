"""Feature columns that a checkpoint and its graph show.

A checkpoint names only columns with variables: embeddings and the columns of a linear model. `graph.pbtxt`, where it is
there, names all of them and says their kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import shared_embeddings
from .diagnosed_column import COMBINERS, Column, combiner_argument
from .graph import Graph

#: Scopes of the variables of each layer.
SCOPES = {
    "linear": "linear/linear_model/",
    "dense": "dnn/input_from_feature_columns/input_layer/",
    "context": "context_features/",
    "sequence": "sequence_features/",
}


def find(shapes: Mapping[str, list[int]], layer: str, graph: Graph | None, inputs: int = 0) -> list[Column]:
    """The columns of a layer, as far as variables and graph show them.

    Args:
        shapes: variable name to shape, without optimizer's.
        layer: a key of `SCOPES`.
        graph: of the model directory.
        inputs: of the first layer that the columns feed; columns of the graph that would give more are left out.
    """
    return _Layer(layer, graph).columns(shapes, inputs)


def placeholder(width: int, sequence: bool = False) -> Column:
    """A numeric column that stands for inputs that nothing explains."""
    kind = "sequence_numeric_column" if sequence else "numeric_column"
    shape = "" if width == 1 else f", shape=({width},)"
    note = (
        f"A placeholder: {width} input{'s' if width > 1 else ''} of the first layer without a variable of their own "
        '(numeric, bucketized or indicator columns). Put yours in place of "x", in the order of their names'
    )
    return Column(f'tf.feature_column.{kind}("x"{shape})', width, note)


class _Layer:
    def __init__(self, layer: str, graph: Graph | None) -> None:
        self._layer = layer
        self._graph = graph
        self._nodes: dict[str, list[Any]] = graph.columns(layer) if graph is not None else {}
        self._prefix = "tf.feature_column.sequence_" if layer == "sequence" else "tf.feature_column."

    def columns(self, shapes: Mapping[str, list[int]], inputs: int) -> list[Column]:
        found: list[Column] = []
        seen: set[str] = set()
        scope = SCOPES[self._layer]
        shared = shared_embeddings.variables(shapes)
        for name in sorted(shapes):
            column, _, variable = name[len(scope) :].rpartition("/")
            if not name.startswith(scope) or not column or name in shared:
                continue
            if variable == "embedding_weights":
                found.append(self._embedding(column, shapes[name]))
            elif self._layer == "linear" and variable == "weights":
                found.append(self._weights(column, shapes[name][0]))
            else:
                continue
            seen.add(column)
        if self._layer == "linear":  # each of its columns has a variable
            return found
        shown = [self._without_variables(column) for column in sorted(self._nodes.keys() - seen)]
        columns = [column for column in shown if column is not None]
        if sum(column.width for column in found + columns) <= inputs:
            found += columns
        if self._layer == "context":  # shared embeddings of an RNN are taken for its sequences'
            return found
        rest = inputs - sum(column.width for column in found)
        in_graph = self._graph.shared_columns() if self._graph is not None else {}
        return found + shared_embeddings.find(shapes, in_graph, rest, self._categorical)

    def _embedding(self, column: str, shape: list[int]) -> Column:
        key = column.removesuffix("_embedding")
        categorical, note = self._categorical(key, shape[0], self._nodes.get(column, []))
        combiner = combiner_argument(self._nodes.get(column, []))
        code = f"tf.feature_column.embedding_column({categorical}, dimension={shape[1]}{combiner})"
        return Column(code, shape[1], note)

    def _weights(self, column: str, size: int) -> Column:
        """A column of a linear model."""
        nodes = self._nodes.get(column, [])
        if column.endswith("_bucketized"):
            return self._bucketized(column, size - 1)
        sparse = nodes and any("weighted_sum/" in node.name and node.op in COMBINERS for node in nodes)
        if (nodes and not sparse) or (not nodes and size == 1):
            return Column(f"tf.feature_column.numeric_column({_text(column)}{_shape(size)})")
        categorical, note = self._categorical(column, size, nodes)
        if not nodes and note and "_X_" not in column:
            note += f", or a numeric column of shape ({size},)"
        return Column(categorical, 0, note)

    def _bucketized(self, column: str, boundaries: int) -> Column:
        source = column.removesuffix("_bucketized")
        known = self._graph.bucketize(source) if self._graph is not None else None
        values = known if known is not None else [float(i) for i in range(max(boundaries, 1))]
        note = "" if known is not None else f"The {boundaries} boundaries are not in the checkpoint: put yours"
        numeric = f"tf.feature_column.numeric_column({_text(source)})"
        return Column(f"tf.feature_column.bucketized_column({numeric}, {values})", len(values) + 1, note)

    def _categorical(self, key: str, size: int, nodes: list[Any]) -> tuple[str, str]:
        """Code of a categorical column of `size` ids, and what is a guess in it."""
        if "_weighted_by_" in key:
            key, _, weight = key.partition("_weighted_by_")
            code, note = self._categorical(key, size, nodes)
            return f"tf.feature_column.weighted_categorical_column({code}, {_text(weight)})", note
        if "_X_" in key:
            return self._crossed(key, size)
        if self._graph is not None and nodes:
            return self._of_graph(self._graph, key, size, nodes)
        return (
            f"{self._prefix}categorical_column_with_hash_bucket({_text(key)}, {size})",
            f"{size} values of {key!r}: a hash bucket column is a guess, it may be a vocabulary or an identity column",
        )

    def _of_graph(self, graph: Graph, key: str, size: int, nodes: list[Any]) -> tuple[str, str]:
        if graph.find(nodes, "StringToHashBucketFast"):
            dtype = ", dtype=tf.int64" if graph.find(nodes, "AsString") else ""
            return f"{self._prefix}categorical_column_with_hash_bucket({_text(key)}, {size}{dtype})", ""
        if table := graph.find(nodes, "LookupTableImportV2"):
            words = graph.constant(table.input[1])
            if words is not None:
                vocabulary = [word.decode() if isinstance(word, bytes) else word for word in words.tolist()]
                buckets = f", num_oov_buckets={size - len(vocabulary)}" if size > len(vocabulary) else ""
                code = f"{self._prefix}categorical_column_with_vocabulary_list({_text(key)}, {vocabulary!r}{buckets})"
                return code, ""
        if table := graph.find(nodes, "InitializeTableFromTextFileV2"):
            path = graph.constant(table.input[1])
            name = path.item().decode() if path is not None else "vocabulary.txt"
            code = f"{self._prefix}categorical_column_with_vocabulary_file({_text(key)}, {_text(name)}, {size})"
            return code, "The vocabulary's file is not in the directory: put its path and size"
        return f"{self._prefix}categorical_column_with_identity({_text(key)}, {size})", ""

    def _crossed(self, key: str, size: int) -> tuple[str, str]:
        keys = []
        for part in key.split("_X_"):
            keys.append(self._bucketized(part, 1).code if part.endswith("_bucketized") else _text(part))
        note = "The order of the keys is not in the checkpoint, and counts: give them in yours"
        return f"tf.feature_column.crossed_column([{', '.join(keys)}], hash_bucket_size={size})", note

    def _without_variables(self, column: str) -> Column | None:
        """A column that has operations and no variable of its own: bucketized, indicator or numeric."""
        assert self._graph is not None
        nodes = self._nodes[column]
        if column.endswith("_shared_embedding"):
            return None
        if column.endswith("_bucketized") and self._graph.find(nodes, "Bucketize"):
            return self._bucketized(column, 0)
        if column.endswith("_indicator"):
            one_hot = self._graph.find(nodes, "OneHot")
            depth = None if one_hot is None else self._graph.constant(one_hot.input[1])
            if depth is None:
                return None
            categorical, note = self._categorical(column.removesuffix("_indicator"), int(depth), nodes)
            return Column(f"tf.feature_column.indicator_column({categorical})", int(depth), note)
        width = self._graph.width(nodes)
        if width is None:
            return None
        kind = "sequence_numeric_column" if self._layer == "sequence" else "numeric_column"
        return Column(f"tf.feature_column.{kind}({_text(column)}{_shape(width)})", width)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shape(size: int) -> str:
    return "" if size == 1 else f", shape=({size},)"
