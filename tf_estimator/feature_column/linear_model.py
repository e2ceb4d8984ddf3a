"""`LinearModel`: a weighted sum of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ..model_fn import plain_shapes
from .column_state import FeatureCache, model_variable, parts_of
from .dense import is_scalar, stack_scalars
from .layer import ColumnLayer
from .single_ids import look_up_rows

v1 = tf.compat.v1
_COMBINERS = ("mean", "sqrtn", "sum")


class LinearModel(ColumnLayer):
    """A layer from a dict of features to `[batch, units]`: a weight for each category and number, and a bias.

    Variables: `<name>/<column>/weights` and `<name>/bias_weights`, all zero at first.

    Args:
        feature_columns: categorical or dense columns, one or several.
        units: outputs per row.
        sparse_combiner: how the weights of several categories in one row are combined: "sum", "mean" or "sqrtn".
        trainable: whether optimizers may change its variables.
        name: scope of the variables; `linear_model` if None, counted up when taken.
        partitioner: of the variables, a `tf.compat.v1` partitioner.

    Raises:
        ValueError: a column of another kind, two of one name, or an unknown combiner.
    """

    _default_name = "linear_model"
    _kind = "either a DenseColumn or a CategoricalColumn"
    _methods = ["get_dense_tensor", "get_sparse_tensors"]

    def __init__(
        self,
        feature_columns: Any,
        units: int = 1,
        sparse_combiner: str = "sum",
        trainable: bool = True,
        name: str | None = None,
        partitioner: Any = None,
    ) -> None:
        if sparse_combiner not in _COMBINERS:
            raise ValueError(f"sparse_combiner must be one of {list(_COMBINERS)}, not {sparse_combiner!r}.")
        super().__init__(feature_columns, trainable, name, partitioner)
        self._units = units
        self._combiner = sparse_combiner
        self._bias: Any = None

    @property
    def bias(self) -> Any:
        """The bias of the last call's graph, `[units]`."""
        return self._bias

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables of the last call's graph."""
        bias = parts_of(self._bias) if self._bias is not None and self._trainable else []
        return [*self._state.variables, *bias]

    @plain_shapes
    def __call__(self, features: Mapping[str, Any], training: bool | None = None) -> tf.Tensor:
        """Adds the ops to the current graph; see the class.

        Raises:
            KeyError: a column's feature is missing (the error is a ValueError too).
        """
        self._enter_graph()
        cache = FeatureCache(features)
        sums: list[Any] = []
        dense: list[Any] = []
        dense_weights: list[Any] = []
        scalars = [column for column in self._sorted if is_scalar(column, cache)]
        if scalars:
            dense.append(stack_scalars(scalars, cache))
            dense_weights.extend(self._weights(column, 1) for column in scalars)
        for column in self._sorted:
            if hasattr(column, "get_sparse_tensors"):
                sums.append(self._categories(column, cache))
            elif not is_scalar(column, cache):
                width = column.variable_shape.num_elements()
                dense.append(tf.reshape(column.get_dense_tensor(cache, self._state), [-1, width]))
                dense_weights.append(self._weights(column, width))
        if dense:
            # One product for all dense columns instead of one for each.
            matrix = dense_weights[0] if len(dense_weights) == 1 else tf.concat(dense_weights, axis=0)
            sums.append(tf.matmul(dense[0] if len(dense) == 1 else tf.concat(dense, axis=1), matrix))
        return tf.nn.bias_add(sums[0] if len(sums) == 1 else tf.add_n(sums), self._bias)

    def _categories(self, column: Any, cache: FeatureCache) -> tf.Tensor:
        table = self._weights(column, column.num_buckets)
        single = look_up_rows(column, table, cache, self._state)  # alone in its row, whatever the combiner
        if single is not None:
            return single
        pair = column.get_sparse_tensors(cache, self._state)
        ids = _as_matrix(pair.id_tensor)
        weights = None if pair.weight_tensor is None else _as_matrix(pair.weight_tensor)
        return tf.nn.safe_embedding_lookup_sparse(table, ids, sparse_weights=weights, combiner=self._combiner)

    def _weights(self, column: Any, rows: int) -> Any:
        zeros = v1.zeros_initializer()
        return self._state.create_variable(column, "weights", (rows, self._units), initializer=zeros)

    def _make_variables(self, scope: str) -> None:
        super()._make_variables(scope)
        self._bias = model_variable(
            f"{scope}/bias_weights",
            [self._units],
            v1.zeros_initializer(),
            trainable=self._trainable,
            partitioner=self._partitioner,
        )


def _as_matrix(tensor: Any) -> Any:
    """A sparse tensor of any rank as `[batch, values]`."""
    if tensor.shape.rank == 2:
        return tensor
    return tf.sparse.reshape(tensor, [tensor.dense_shape[0], -1])
