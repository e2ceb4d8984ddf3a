"""Which feature columns a checkpoint and its graph show.

A checkpoint names only columns with variables: embeddings and the columns of a linear model. `graph.pbtxt`, where it is
there, names all of them, for every column's operations stand in a scope of its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped, unused-ignore]

#: Scopes in which canned models put their columns.
DENSE_SCOPES = ("dnn/input_from_feature_columns/input_layer/", "context_features/")
SEQUENCE_SCOPE = "sequence_features/"
LINEAR_SCOPE = "linear/linear_model/"


@dataclass(frozen=True)
class Column:
    """A feature column.

    Attributes:
        code: Python that makes it.
        width: how many inputs of the first layer it gives, 0 in a linear model.
        note: what is a guess in it, "" if nothing is.
    """

    code: str
    width: int = 0
    note: str = ""


def find(shapes: Mapping[str, list[int]], scope: str, graph: Graph | None, *, linear: bool = False) -> list[Column]:
    """The columns of a scope, as far as variables and graph show them."""
    columns: list[Column] = []
    seen: set[str] = set()
    for name in sorted(shapes):
        if not name.startswith(scope):
            continue
        column, _, variable = name[len(scope) :].rpartition("/")
        if variable == "embedding_weights":
            columns.append(_embedding(column, shapes[name], scope, graph))
            seen.add(column)
        elif linear and variable == "weights":
            columns.append(_linear(column, shapes[name], scope, graph))
            seen.add(column)
    if graph is not None:
        for column in sorted(graph.scopes(scope) - seen):
            columns += _without_variables(column, scope, graph)
    return columns


def numeric(width: int, sequence: bool = False) -> Column:
    """A numeric column for inputs that nothing explains."""
    kind = "sequence_numeric_column" if sequence else "numeric_column"
    shape = "" if width == 1 else f", shape=({width},)"
    note = (
        f"{width} input{'s' if width > 1 else ''} of the first layer without a variable of their own: numeric, "
        "bucketized or indicator columns; put yours here, in the order of their names"
    )
    return Column(f'tf.feature_column.{kind}("x"{shape})', width, note)


def _embedding(column: str, shape: list[int], scope: str, graph: Graph | None) -> Column:
    key = column.removesuffix("_embedding").removesuffix("_shared")
    categorical, note = _categorical(key, shape[0], f"{scope}{column}/", graph, scope == SEQUENCE_SCOPE)
    return Column(f"tf.feature_column.embedding_column({categorical}, dimension={shape[1]})", shape[1], note)


def _linear(column: str, shape: list[int], scope: str, graph: Graph | None) -> Column:
    if column.endswith("_bucketized"):
        source, boundaries = column.removesuffix("_bucketized"), shape[0] - 1
        known = graph.boundaries(f"{scope}{column}/") if graph is not None else None
        values = known if known is not None else [float(i) for i in range(boundaries)]
        note = "" if known is not None else f"the {boundaries} boundaries are not in the checkpoint"
        code = f'tf.feature_column.bucketized_column(tf.feature_column.numeric_column("{source}"), {values})'
        return Column(code, 0, note)
    if "_X_" in column:
        keys = column.split("_X_")
        return Column(f"tf.feature_column.crossed_column({keys}, hash_bucket_size={shape[0]})")
    if shape[0] == 1:
        return Column(f'tf.feature_column.numeric_column("{column}")')
    categorical, note = _categorical(column, shape[0], f"{scope}{column}/", graph, False)
    note = note and f"{note}, or a numeric column of shape ({shape[0]},)"
    return Column(categorical, 0, note)


def _categorical(key: str, size: int, scope: str, graph: Graph | None, sequence: bool) -> tuple[str, str]:
    prefix = "tf.feature_column.sequence_" if sequence else "tf.feature_column."
    if graph is not None and graph.has(scope, "StringToHashBucketFast"):
        return f'{prefix}categorical_column_with_hash_bucket("{key}", {size})', ""
    return (
        f'{prefix}categorical_column_with_hash_bucket("{key}", {size})',
        f"{size} values of {key!r}: a hash bucket column is a guess, it may be a vocabulary or an identity column",
    )


def _without_variables(column: str, scope: str, graph: Graph) -> list[Column]:
    """A column that has operations and no variable: bucketized, indicator or numeric."""
    at = f"{scope}{column}/"
    if column.endswith("_bucketized"):
        source, boundaries = column.removesuffix("_bucketized"), graph.boundaries(at) or [0.0]
        code = f'tf.feature_column.bucketized_column(tf.feature_column.numeric_column("{source}"), {boundaries})'
        return [Column(code, len(boundaries) + 1)]
    if column.endswith("_indicator"):
        size = graph.depth(at)
        if size is None:
            return []
        key = column.removesuffix("_indicator")
        categorical, note = _categorical(key, size, at, graph, scope == SEQUENCE_SCOPE)
        return [Column(f"tf.feature_column.indicator_column({categorical})", size, note)]
    width = graph.width(at)
    if width is None:
        return []
    shape = "" if width == 1 else f", shape=({width},)"
    kind = "sequence_numeric_column" if scope == SEQUENCE_SCOPE else "numeric_column"
    return [Column(f'tf.feature_column.{kind}("{column}"{shape})', width)]


class Graph:
    """A `graph.pbtxt`."""

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

    def scopes(self, prefix: str) -> set[str]:
        """Names directly below a scope that hold operations, TensorFlow's own (`concat`, …) left out."""
        below = {name[len(prefix) :].partition("/")[0] for name in self._nodes if self._inside(name, prefix)}
        return {
            name for name in below if not re.fullmatch(r"(concat|Shape|Sum|mul|strided_slice|weighted_sum)\w*", name)
        }

    def has(self, prefix: str, operation: str) -> bool:
        return self._find(prefix, operation) is not None

    def boundaries(self, prefix: str) -> list[float] | None:
        """Boundaries of the Bucketize operation in a scope."""
        node = self._find(prefix, "Bucketize")
        return None if node is None else [round(value, 6) for value in node.attr["boundaries"].list.f]

    def depth(self, prefix: str) -> int | None:
        """Depth of the OneHot operation in a scope."""
        node = self._find(prefix, "OneHot")
        return None if node is None else self._constant(node.input[1])

    def width(self, prefix: str) -> int | None:
        """Last dimension of the last Reshape in a scope, which gives a column's values to the layer."""
        reshapes = [node for name, node in self._nodes.items() if name.startswith(prefix) and node.op == "Reshape"]
        for node in reversed(reshapes):
            dimensions = node.attr["_output_shapes"].list.shape
            if dimensions and dimensions[0].dim and dimensions[0].dim[-1].size > 0:
                return int(dimensions[0].dim[-1].size)
            width = self._constant(f"{node.name}/shape/1")
            if width is not None:
                return width
        return None

    def _inside(self, name: str, prefix: str) -> bool:
        return name.startswith(prefix) and "/" in name[len(prefix) :]

    def _find(self, prefix: str, operation: str) -> Any:
        matches = (node for name, node in self._nodes.items() if name.startswith(prefix) and node.op == operation)
        return next(matches, None)

    def _constant(self, name: str) -> int | None:
        node = self._nodes.get(name.partition(":")[0])
        if node is None or node.op != "Const":
            return None
        value = tf.make_ndarray(node.attr["value"].tensor)
        return int(value) if value.ndim == 0 else None
