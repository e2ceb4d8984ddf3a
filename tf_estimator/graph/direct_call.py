"""Calls of a TensorFlow function, and the default graph, with little Python around them.

A step of a small network takes TensorFlow 90 µs. `tf.raw_ops` and `tf.Graph.as_default` take 5 µs of it each, and a
step with a hook needs one call and two graphs. These are private parts of TensorFlow, whose version is pinned;
`tests/estimator/graph/test_direct_call.py` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context, core
from tensorflow.python.framework import ops


def run_function(
    concrete: Any, arguments: Sequence[tf.Tensor], output_types: Sequence[tf.DType], config: bytes
) -> list[tf.Tensor]:
    """`tf.raw_ops.StatefulPartitionedCall` of eager tensors.

    Called by its own name a function takes 18 µs more of 219 (10th percentiles, at load); why was not found out.

    Args:
        concrete: the function.
        arguments: all that it takes, with what it captured.
        output_types: of its outputs.
        config: serialized `ConfigProto` of how it is made ready.

    Raises:
        tf.errors.OpError: the function failed.
    """
    how = ("config", "", "config_proto", config, "executor_type", "")
    try:
        made = pywrap_tfe.TFE_Py_FastPathExecute(
            context.context(), "StatefulPartitionedCall", None, arguments, "Tout", output_types, "f", concrete, *how
        )
    except core._NotOkStatusException as error:
        raise core._status_to_exception(error) from None
    return list(made)


class DefaultGraph:
    """`with graph.as_default()`, of one graph, again and again.

    Args:
        graph: the graph.
    """

    def __init__(self, graph: tf.Graph) -> None:
        self._graph = graph
        self._left: list[bool] = []

    def __enter__(self) -> None:
        current, graph = context.context(), self._graph
        current.context_switches.push(graph.building_function, graph.as_default, graph._device_function_stack)
        ops._default_graph_stack.stack.append(graph)
        self._left.append(current._thread_local_data.is_eager)
        current._thread_local_data.is_eager = False

    def __exit__(self, *_: object) -> None:
        current = context.context()
        current._thread_local_data.is_eager = self._left.pop()
        ops._default_graph_stack.stack.pop()
        current.context_switches.pop()
