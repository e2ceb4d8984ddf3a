"""Base of the layers of feature columns: the columns, their scope, and variables made once per graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ..graph.naming import variable_scope_name
from .column_state import ColumnState, create_column_states, prepared_columns

v1 = tf.compat.v1


class ColumnLayer:
    """Base of a layer of feature columns.

    Args:
        feature_columns: columns, one or several.
        trainable: whether optimizers may change its variables.
        name: scope of the variables; the class has one for None, counted up when taken.
        partitioner: of the variables, a `tf.compat.v1` partitioner.

    Raises:
        ValueError: a column of another kind, or two of one name.
    """

    _default_name: str
    #: What columns it takes, for the error message.
    _kind: str
    #: What becomes of a column's name in those of its variables.
    _scope_name: Callable[[str], str] = staticmethod(variable_scope_name)
    #: A column must have one of these.
    _methods: Sequence[str]

    def __init__(
        self, feature_columns: Any, trainable: bool = True, name: str | None = None, partitioner: Any = None
    ) -> None:
        self._columns = feature_columns
        self._partitioner = partitioner
        self._prepared()
        self._trainable = trainable
        self._name = name
        self._graph: Any = None
        self._state = ColumnState("")
        self._sorted: list[Any] = []

    @property
    def columns(self) -> list[Any]:
        """The columns in the order of their names."""
        return self._prepared()

    @property
    def name(self) -> str:
        return self._name or self._default_name

    @property
    def trainable_variables(self) -> list[Any]:
        """The trainable variables of the last call's graph."""
        return list(self._state.variables)

    def _prepared(self) -> list[Any]:
        return prepared_columns(self._columns, self._kind, self._methods)

    def _enter_graph(self) -> None:
        """Makes the variables, unless the last call was in the same graph."""
        graph = v1.get_default_graph()
        if self._graph is graph:
            return
        self._graph = graph
        scope = _scope(self._name, self._default_name)
        self._state = ColumnState(scope, self._trainable, self._partitioner, self._scope_name)
        self._sorted = self._prepared()
        self._state.name_columns(self._sorted)
        self._make_variables(scope)

    def _make_variables(self, scope: str) -> None:
        create_column_states(self._sorted, self._state)


def _scope(name: str | None, default: str) -> str:
    """The variable scope of a layer: its name, or the first free one of `default`, `default_1` …."""
    if name is not None:
        return name
    with v1.variable_scope(None, default_name=default) as scope:
        return str(scope.name)
