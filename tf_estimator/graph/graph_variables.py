"""The variables of a traced graph, divided into those of the model's state and local ones."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from ..variables import TracedVariable, VariableNames

v1 = tf.compat.v1


class GraphVariables:
    """The variables of one graph.

    Args:
        graph: the graph.
        names: names its variables.
        metric_keys: keys of the variables of Keras metrics, which no collection separates from the model's.
    """

    def __init__(self, graph: tf.Graph, names: VariableNames, metric_keys: Collection[str] = ()) -> None:
        self.graph = graph
        self._names = names
        self._metric_keys = frozenset(metric_keys)
        self._version = -1

    def with_metrics(self, metric_keys: Collection[str]) -> GraphVariables:
        """The same variables, those of `metric_keys` local."""
        return GraphVariables(self.graph, self._names, metric_keys)

    def all(self) -> list[TracedVariable]:
        """All variables, those made by hooks included."""
        if self._version != self.graph.version:
            self._version = self.graph.version
            with self.graph.as_default():
                self._names.add_collections(self.graph)
        return self._names.variables

    def model(self) -> list[TracedVariable]:
        """The variables that belong to the model's state: all but local ones and those of metrics."""
        local = {
            id(v)
            for k in ("LOCAL_VARIABLES", "METRIC_VARIABLES")
            for v in self.graph.get_collection(getattr(v1.GraphKeys, k))
        }
        return [t for t in self.all() if id(t.variable) not in local and t.key not in self._metric_keys]

    def local(self) -> list[TracedVariable]:
        """The variables that live for one evaluation: those of metrics and other local ones."""
        model = {t.key for t in self.model()}
        return [t for t in self.all() if t.key not in model]
