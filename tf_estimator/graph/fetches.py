"""Fetches of hooks and sessions: nests of tensors, operations, variables and names, and their values as numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from .graph_variables import GraphVariables

v1 = tf.compat.v1


def element_of(variables: GraphVariables, name_or_object: Any) -> Any:
    """The tensor or operation of a graph that a fetch names; a variable gives its value.

    Raises:
        KeyError, ValueError, TypeError: it is not in the graph.
    """
    if isinstance(name_or_object, bytes):
        name_or_object = name_or_object.decode()
    graph = variables.graph
    element = graph.as_graph_element(name_or_object)
    if isinstance(element, tf.Tensor) and element.dtype == tf.resource:
        for traced in variables.all():
            if traced.key == element.op.name:
                return graph.as_graph_element(traced.variable)
    return element


class IndexedSlicesValue(NamedTuple):
    """Value of fetched `tf.IndexedSlices`, with the fields that a v1 session gave it. TensorFlow exports no such type.

    Attributes:
        values: `[n, …]`, numpy.
        indices: of the slices in the dense tensor, int `[n]`.
        dense_shape: of the dense tensor, None if it is unknown.
    """

    values: Any
    indices: Any
    dense_shape: Any


class Fetches:
    """A nest of fetches, flattened to elements of a graph.

    Args:
        variables: those of the graph that the fetches are in.
        structure: tensor, sparse or ragged tensor, operation, variable, name, or list/tuple/named tuple/dict of those.

    Attributes:
        elements: the distinct tensors and operations.

    Raises:
        TypeError, ValueError, KeyError: a fetch is not in the graph.
    """

    def __init__(self, variables: GraphVariables, structure: Any) -> None:
        self._variables = variables
        self._index: dict[str, int] = {}
        self.elements: list[Any] = []
        self._rebuild = self._parse(structure)

    def values(self, by_name: Mapping[str, Any]) -> Any:
        """The nest with values in place of fetches: numpy arrays and scalars, None for operations."""
        return self._rebuild(by_name)

    def _parse(self, item: Any) -> Callable[[Mapping[str, Any]], Any]:
        if item is None:
            raise TypeError("A fetch is None; give tensors, operations, variables or their names.")
        if isinstance(item, v1.SparseTensorValue | tf.SparseTensor | tf.RaggedTensor | tf.IndexedSlices):
            return self._composite(item)
        if isinstance(item, Mapping):
            parts = {key: self._parse(value) for key, value in item.items()}
            kind = type(item)
            if kind is dict:
                return lambda got: {key: part(got) for key, part in parts.items()}
            return lambda got: kind((key, part(got)) for key, part in parts.items())  # type: ignore[call-arg]
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            fields = [self._parse(value) for value in item]
            return lambda got: type(item)(*(part(got) for part in fields))
        if isinstance(item, list | tuple):
            members = [self._parse(value) for value in item]
            return lambda got: type(item)(part(got) for part in members)
        name = self._add(item)
        return lambda got: got.get(name)

    def _composite(self, item: Any) -> Callable[[Mapping[str, Any]], Any]:
        """A tensor that is made of several."""
        if isinstance(item, tf.RaggedTensor):
            return self._ragged(item)
        if isinstance(item, tf.IndexedSlices):
            values, indices = self._add(item.values), self._add(item.indices)
            dense = None if item.dense_shape is None else self._add(item.dense_shape)
            return lambda got: IndexedSlicesValue(got[values], got[indices], got[dense] if dense else None)
        indices, values, shape = (self._add(t) for t in (item.indices, item.values, item.dense_shape))
        return lambda got: v1.SparseTensorValue(got[indices], got[values], got[shape])

    def _ragged(self, item: Any) -> Callable[[Mapping[str, Any]], Any]:
        flat, splits = self._add(item.flat_values), [self._add(s) for s in item.nested_row_splits]

        def rebuild(got: Mapping[str, Any]) -> Any:
            value = got[flat]
            for name in reversed(splits):
                value = v1.ragged.RaggedTensorValue(value, got[name])
            return value

        return rebuild

    def _add(self, item: Any) -> str:
        try:
            element = element_of(self._variables, getattr(item, "value", item) if _is_keras(item) else item)
        except KeyError as error:
            raise ValueError(f"The fetch {item!r} is not in the graph of the model: {error}") from error
        name = str(element.name)
        if name not in self._index:
            self._index[name] = len(self.elements)
            self.elements.append(element)
        return name


def _is_keras(item: Any) -> bool:
    return type(item).__module__.startswith("keras.") and isinstance(getattr(item, "value", None), tf.Variable)


def feed_items(variables: GraphVariables, feed_dict: Mapping[Any, Any] | None) -> dict[str, tuple[Any, Any]]:
    """The fed tensors by name, each with its value; sparse tensors are split into components.

    Raises:
        TypeError, ValueError, KeyError: a key is not a tensor of the graph.
    """
    items: dict[str, tuple[Any, Any]] = {}
    for key, value in (feed_dict or {}).items():
        if isinstance(key, tf.SparseTensor):
            pairs: list[tuple[Any, Any]] = list(zip((key.indices, key.values, key.dense_shape), value, strict=True))
        else:
            pairs = [(element_of(variables, key), value)]
        for tensor, part in pairs:
            if not isinstance(tensor, tf.Tensor):
                raise TypeError(f"Only tensors can be fed, not {tensor!r}.")
            array = np.asarray(part, dtype=None if tensor.dtype == tf.string else tensor.dtype.as_numpy_dtype)
            if not tensor.shape.is_compatible_with(array.shape):
                raise ValueError(f"Cannot feed a value of shape {array.shape} for {tensor.name!r} of {tensor.shape}.")
            items[tensor.name] = (tensor, array)
    return items


def to_numpy(tensor: tf.Tensor) -> Any:
    """Value of an eager tensor as a v1 session gives it."""
    return tensor.numpy()
