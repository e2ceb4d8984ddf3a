"""Nests of fetches: each kind of tensor comes back as a v1 session gave it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tf_estimator.graph.fetches import Fetches


class OfGraph:
    """The graph's variables, of which there are none."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def all(self) -> list[Any]:
        return []


def fetched(graph: Any, structure: Any) -> Any:
    fetches = Fetches(OfGraph(graph), structure)
    with tf.compat.v1.Session(graph=graph) as session:
        values = session.run(fetches.elements)
    return fetches.values({element.name: value for element, value in zip(fetches.elements, values, strict=True)})


@pytest.mark.parametrize("shape", [None, [4, 1]])
def test_composite_tensors_come_back_whole(shape: list[int] | None) -> None:
    with tf.Graph().as_default() as graph:
        sparse = tf.SparseTensor([[0, 1]], [1.5], [1, 2])
        ragged = tf.RaggedTensor.from_row_splits(tf.constant([1, 2, 3]), [0, 1, 3])
        dense_shape = None if shape is None else tf.constant(shape)
        slices = tf.IndexedSlices(tf.constant([[2.0]]), tf.constant([3]), dense_shape)
        found = fetched(graph, {"sparse": sparse, "rest": [ragged, (slices,)], "operation": slices.values.op})
    assert isinstance(found["sparse"], tf.compat.v1.SparseTensorValue)
    np.testing.assert_array_equal(found["sparse"].indices, [[0, 1]])
    np.testing.assert_array_equal(found["sparse"].dense_shape, [1, 2])
    ragged_value, (slices_value,) = found["rest"]
    assert ragged_value.to_list() == [[1], [2, 3]]
    np.testing.assert_array_equal(slices_value.values, [[2.0]])
    np.testing.assert_array_equal(slices_value.indices, [3])
    assert (slices_value.dense_shape is None) if shape is None else list(slices_value.dense_shape) == shape
    assert found["operation"] is None


def test_fetch_outside_the_graph_is_an_error() -> None:
    with tf.Graph().as_default() as graph, pytest.raises(ValueError, match="not in the graph"):
        Fetches(OfGraph(graph), "missing:0")
