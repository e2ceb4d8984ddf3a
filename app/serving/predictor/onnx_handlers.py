"""Operations that tf2onnx converts wrongly or not at all, in its form for handlers of one's own
(`custom_op_handlers`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_FLOAT, _INT32, _INT64, _STRING, _BOOL = 1, 6, 7, 8, 9
"""Of `onnx.TensorProto`."""


class NotConverted(Exception):
    """Why a signature stays TensorFlow's, for a person."""


def handlers() -> dict[str, Any]:
    made = {
        "Bucketize": _bucketize,
        "NotEqual": _not_equal,
        "OneHot": _one_hot,
        "SparseToDense": _sparse_to_dense,
    }
    return {name: (handler, []) for name, handler in made.items()}


def _one_hot(context: Any, node: Any, name: str, _: Any) -> None:
    """By comparison: ONNX's own counts a negative index, which means no category, from the end."""
    if node.get_attr_value("axis", -1) != -1 or not node.inputs[1].is_const():
        raise NotConverted("It has a OneHot of an unusual axis or depth.")
    indices, _, on, off = node.input
    whole = np.int32 if context.get_dtype(indices) == _INT32 else np.int64
    every = _constant(context, name, "numbers", np.arange(int(node.inputs[1].get_tensor_value()), dtype=whole))
    _replace(context, node, "Where", [_node(context, "Equal", _column(context, name, indices), every), on, off])


def _sparse_to_dense(context: Any, node: Any, name: str, _: Any) -> None:
    """ONNX's ScatterND on what is filled with the default."""
    indices, shape, values, default = node.input
    if context.get_dtype(indices) != _INT64:
        indices = _node(context, "Cast", indices, attr={"to": _INT64})
    if context.get_dtype(shape) != _INT64:
        shape = _node(context, "Cast", shape, attr={"to": _INT64})
    _replace(context, node, "ScatterND", [_node(context, "Expand", default, shape), indices, values])


def _bucketize(context: Any, node: Any, name: str, _: Any) -> None:
    """The number of boundaries that a value reaches."""
    if node.get_attr("boundaries") is None:
        raise NotConverted("It has a Bucketize without boundaries.")
    given = np.array(node.get_attr("boundaries").floats, np.float32)
    boundaries = _constant(context, name, "boundaries", given)
    values = node.input[0]
    if context.get_dtype(values) != _FLOAT:
        raise NotConverted("It has a Bucketize of other numbers than float32.")
    reached = _node(context, "GreaterOrEqual", _column(context, name, values), boundaries)
    numbers = _node(context, "Cast", reached, attr={"to": _INT32})
    axis = _constant(context, name, "axis", np.array([-1], np.int64))
    _replace(context, node, "ReduceSum", [numbers, axis], {"keepdims": 0})


def _not_equal(context: Any, node: Any, name: str, _: Any) -> None:
    """Text, which tf2onnx reads as numbers, is looked up in a table of one entry."""
    first, second = node.input
    if context.get_dtype(first) != _STRING:
        _replace(context, node, "Not", [_node(context, "Equal", first, second)])
        return
    if not node.inputs[1].is_const() or node.inputs[1].get_tensor_value(as_list=False).size != 1:
        raise NotConverted("It compares text with other text than one constant.")
    word = node.inputs[1].get_tensor_value(as_list=False).item()
    table = {"cats_strings": [word], "cats_int64s": [0], "default_int64": 1}
    other = context.make_node("CategoryMapper", [first], attr=table, domain="ai.onnx.ml").output[0]
    _replace(context, node, "Cast", [other], {"to": _BOOL})


def _column(context: Any, name: str, tensor: str) -> str:
    """With an axis of one at the end."""
    return _node(context, "Unsqueeze", tensor, _constant(context, name, "last", np.array([-1], np.int64)))


def _constant(context: Any, name: str, what: str, value: Any) -> str:
    made: str = context.make_const(f"{name}_{what}", value).output[0]
    return made


def _node(context: Any, kind: str, *inputs: str, attr: dict[str, Any] | None = None) -> str:
    made: str = context.make_node(kind, list(inputs), attr=attr or {}).output[0]
    return made


def _replace(context: Any, node: Any, kind: str, inputs: Sequence[str], attr: dict[str, Any] | None = None) -> None:
    types, shapes, outputs = node.output_dtypes, node.output_shapes, node.output
    context.remove_node(node.name)
    context.make_node(kind, list(inputs), attr=attr or {}, name=node.name, outputs=outputs, shapes=shapes, dtypes=types)
