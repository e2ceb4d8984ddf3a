"""Shared embeddings that a checkpoint and its graph show.

Several columns look their values up in one variable, which is called after all their keys, joined by `_` in the order
of the alphabet. So its name shows the keys where none of them has a `_`, and the graph, where it is there, always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from .diagnosed_column import Column, combiner_argument

#: Code of the categorical column of a key with so many ids and those nodes, and what is a guess in it.
Categorical = Callable[[str, int, list[Any]], tuple[str, str]]

_SUFFIX = "_shared_embedding"
#: Of `shared_embeddings`, at the top or below v1's scope of the model, and of v1's `shared_embedding_columns`.
_VARIABLE = re.compile(
    r"(?:dnn/input_from_feature_columns/(?:input_layer/(?=.+/embedding_weights$))?)?"
    rf"(?P<keys>(?!linear/).+){_SUFFIX}(?P<old>/embedding_weights)?"
)
_FEWEST = 2


def variables(shapes: Mapping[str, list[int]]) -> list[str]:
    """Names of the variables that shared embeddings have."""
    return sorted(name for name, shape in shapes.items() if len(shape) == 2 and _VARIABLE.fullmatch(name))


def find(
    shapes: Mapping[str, list[int]], in_graph: Mapping[str, list[Any]], inputs: int, categorical: Categorical
) -> list[Column]:
    """One entry for each shared variable, which stands for all of its columns.

    Args:
        shapes: variable name to shape, without optimizer's.
        in_graph: keys of the columns that share a variable, with their nodes; empty where there is no graph.
        inputs: of the first layer, those that no other column explains; each column of a variable gives as many as
            the variable has columns.
        categorical: writes one of the columns.
    """
    found: list[Column] = []
    names = variables(shapes)
    for number, name in enumerate(names, start=1):
        size, dimension = shapes[name]
        later = sum(_FEWEST * shapes[other][1] for other in names[number:])
        match = _VARIABLE.fullmatch(name)
        assert match is not None
        joined = match["keys"]
        keys, note = _keys(joined, list(in_graph), max(1, (inputs - later) // dimension))
        inputs -= len(keys) * dimension
        columns = [categorical(key, size, in_graph.get(key, [])) for key in keys]
        notes = [note, *(note for _, note in columns)]
        make = "tf.feature_column.shared_embeddings"
        if match["old"]:
            make = "tf.compat.v1.feature_column.shared_embedding_columns"
        before = [
            "# TensorFlow makes shared embeddings in a graph only.",
            "with tf.Graph().as_default():",
            f"    shared_{number} = {make}(",
            "        [",
            *(f"            {code}," for code, _ in columns),
            "        ],",
            f"        dimension={dimension}{combiner_argument(in_graph.get(keys[0], []))},",
            f"        shared_embedding_collection_name={_text(joined + _SUFFIX)},",
            "    )",
        ]
        note = ". ".join(filter(None, notes))
        found.append(Column(f"*shared_{number}", len(keys) * dimension, note, "\n".join(before)))
    return found


def _keys(joined: str, in_graph: Sequence[str], most: int) -> tuple[list[str], str]:
    """The keys whose join is `joined`, at most `most`, and what is a guess in them."""
    for count in range(_FEWEST, len(in_graph) + 1):
        for some in combinations(in_graph, count):
            if _plain("_".join(some)) == _plain(joined):
                return list(some), ""
    parts = joined.split("_")
    first = len(parts) - min(len(parts), most) + 1
    note = f"The keys are a guess from {_text(joined)}, which joins them by `_`: put yours"
    return ["_".join(parts[:first]), *parts[first:]], note


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
