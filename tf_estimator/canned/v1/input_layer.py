"""Layers of columns in v1's models: their names in checkpoints, and embeddings that columns share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from ...feature_column import DenseInput, LinearModel
from ...feature_column.column_state import parts_of
from ...feature_column.layer import ColumnLayer

v1 = tf.compat.v1
_SCOPE = "dnn/input_from_feature_columns"


def input_layer(columns: Sequence[Any], partitioner: Any) -> Any:
    """A layer from a dict of features to a float tensor `[batch, width]`, with `trainable_variables`.

    Args:
        columns: dense columns, also those of `tf.compat.v1.feature_column.shared_embedding_columns`.
        partitioner: of the columns' variables.

    Raises:
        ValueError: a column of another kind, or two of one name.
    """
    if any(not hasattr(c, "get_dense_tensor") and hasattr(c, "_get_dense_tensor") for c in columns):
        return OldColumns(columns, partitioner)
    return SharingInput(columns, name=f"{_SCOPE}/input_layer", partitioner=partitioner)


class _Sharing(ColumnLayer):
    """A layer whose shared embeddings are made, and trained, below the scope of its model."""

    _shared_scope: str

    @property
    def trainable_variables(self) -> list[Any]:
        """The trainable variables of the last call's graph, shared ones too."""
        shared: dict[int, Any] = {}
        for column in self._sorted:
            creator = getattr(column, "shared_embedding_column_creator", None)
            if creator is not None:
                shared.update({id(part): part for part in parts_of(creator.embedding_weights) if part.trainable})
        return [*super().trainable_variables, *shared.values()]

    def __call__(self, features: Mapping[str, Any], training: bool | None = None) -> tf.Tensor:
        """Adds the ops to the current graph."""
        with _scope(self._shared_scope, self._partitioner):
            return super().__call__(features, training)  # type: ignore[misc]


class SharingInput(_Sharing, DenseInput):
    """`DenseInput` of v1's networks."""

    _shared_scope = _SCOPE


class SharingLinearModel(_Sharing, LinearModel):
    """`LinearModel` of v1."""

    _shared_scope = "linear"


class OldColumns:
    """Columns of which some are TensorFlow 1's own kind, by `tf.compat.v1.feature_column.input_layer`."""

    def __init__(self, columns: Sequence[Any], partitioner: Any) -> None:
        self._columns, self._partitioner = list(columns), partitioner
        self.trainable_variables: list[Any] = []

    def __call__(self, features: Mapping[str, Any]) -> tf.Tensor:
        """Adds the ops to the current graph."""
        made: dict[Any, Any] = {}
        with _scope(_SCOPE, self._partitioner):
            result = v1.feature_column.input_layer(dict(features), self._columns, cols_to_vars=made)
        found = [part for variables in made.values() for v in variables for part in parts_of(v) if part.trainable]
        self.trainable_variables = list({id(part): part for part in found}.values())
        return result


def _scope(name: str, partitioner: Any) -> Any:
    scope = v1.VariableScope(v1.AUTO_REUSE, name=name, partitioner=partitioner, use_resource=True)
    return v1.variable_scope(scope, auxiliary_name_scope=False)
