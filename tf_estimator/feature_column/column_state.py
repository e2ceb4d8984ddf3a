"""State that TensorFlow's feature columns ask of a layer: transformed features, and variables.

A column calls `cache.get(key, state)` for a feature or another column, and `state.create_variable` and its likes for
its weights. These two classes answer, with the variable names of old checkpoints.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ..errors import MissingFeatureError
from ..graph.naming import variable_scope_name

v1 = tf.compat.v1


class FeatureCache:
    """The features of one batch, and what columns made of them, each made once.

    Args:
        features: dict of dense, sparse or ragged tensors.
    """

    def __init__(self, features: Mapping[str, Any]) -> None:
        if not isinstance(features, Mapping):
            raise ValueError(f"features should be a dictionary of `Tensor`s. Given type: {type(features)}.")
        self._features = features
        self._made: dict[Any, Any] = {}

    def get(self, key: Any, state_manager: Any, training: bool | None = None) -> Any:
        """The feature called `key`, at least of rank 2, or what the column `key` makes of its features.

        Raises:
            MissingFeatureError: there is no such feature.
            ValueError: the feature has no batch dimension.
        """
        if key not in self._made:
            made = self._raw(key) if isinstance(key, str) else key.transform_feature(self, state_manager)
            self._made[key] = made
        return self._made[key]

    def plain(self, key: str) -> Any:
        """The feature called `key` as it was given."""
        if key not in self._features:
            raise MissingFeatureError(
                f"Feature {key} is not in features dictionary. Features: {sorted(map(str, self._features))}. "
                "Let input_fn return it."
            )
        return self._features[key]

    def _raw(self, key: str) -> Any:
        given = self.plain(key)
        if isinstance(given, tf.sparse.SparseTensor):
            return given
        if isinstance(given, tf.RaggedTensor):
            return given.to_sparse()
        tensor = tf.convert_to_tensor(given)
        if tensor.shape.rank == 0:
            raise ValueError(f"Feature {key} cannot have rank 0. Give input_fn's features a batch dimension.")
        if tensor.shape.rank is None:
            return tf.cond(tf.equal(1, tf.rank(tensor)), lambda: tf.expand_dims(tensor, -1), lambda: tensor)
        return tf.expand_dims(tensor, -1) if tensor.shape.rank == 1 else tensor


class ColumnState:
    """Variables of columns, called `<scope>/<column name>/<variable>`; a second use finds them again.

    Args:
        scope: first part of the names.
        trainable: whether optimizers may change them.
        partitioner: a `tf.compat.v1` partitioner.
        scope_name: what becomes of a column's name in those of its variables. Two names that become the same stay two:
            the later one gets `_1`, `_2` ….

    Attributes:
        variables: the trainable ones, in the order in which they were made.
    """

    def __init__(
        self,
        scope: str,
        trainable: bool = True,
        partitioner: Any = None,
        scope_name: Callable[[str], str] = variable_scope_name,
    ) -> None:
        self.scope = scope
        self._scope_name = scope_name
        self._columns: dict[str, str] = {}  # by the names that they have in variables
        self._partitioner = partitioner
        self.variables: list[Any] = []
        self._trainable = trainable
        self._variables: dict[tuple[str, str], Any] = {}
        self._resources: dict[tuple[str, str], Any] = {}

    def all_variables(self) -> list[Any]:
        """Those that are not trainable too."""
        return [part for variable in self._variables.values() for part in parts_of(variable)]

    def create_variable(
        self,
        feature_column: Any,
        name: str,
        shape: Sequence[int],
        dtype: Any = tf.float32,
        trainable: bool = True,
        use_resource: bool = True,
        initializer: Any = None,
    ) -> Any:
        """Makes a column's variable, or finds it."""
        key = (feature_column.name, name)
        if key not in self._variables:
            wanted = trainable and self._trainable
            full = f"{self.scope}/{self._column_scope(feature_column.name)}/{name}"
            made = model_variable(full, shape, initializer, dtype or tf.float32, wanted, self._partitioner)
            self._variables[key] = made
            if wanted:
                self.variables.extend(parts_of(made))
        return self._variables[key]

    def name_columns(self, columns: Iterable[Any]) -> None:
        """Settles the names of these columns' variables, in this order, whichever column makes its variables first."""
        for column in columns:
            self._column_scope(column.name)

    def _column_scope(self, column: str) -> str:
        wanted = self._scope_name(column)
        name, count = wanted, 0
        while self._columns.setdefault(name, column) != column:
            count += 1
            name = f"{wanted}_{count}"
        return name

    def get_variable(self, feature_column: Any, name: str) -> Any:
        """A column's variable.

        Raises:
            ValueError: it was not made.
        """
        try:
            return self._variables[feature_column.name, name]
        except KeyError:
            raise ValueError(f"The column {feature_column.name!r} has no variable {name!r}.") from None

    def add_resource(self, feature_column: Any, resource_name: str, resource: Any) -> None:
        """Keeps a column's lookup table alive."""
        self._resources[feature_column.name, resource_name] = resource

    def has_resource(self, feature_column: Any, resource_name: str) -> bool:
        """Whether the column keeps a resource of that name here."""
        return (feature_column.name, resource_name) in self._resources

    def get_resource(self, feature_column: Any, resource_name: str) -> Any:
        """A column's lookup table."""
        return self._resources[feature_column.name, resource_name]


def model_variable(
    name: str,
    shape: Sequence[int],
    initializer: Any = None,
    dtype: Any = tf.float32,
    trainable: bool = True,
    partitioner: Any = None,
) -> Any:
    """A variable called exactly `name` whatever the present scope, made or found again.

    One that is not trained is averaged over the replicas of a training that has several. With a partitioner it is a
    partitioned variable, or the one part of it.
    """
    root = v1.VariableScope(reuse=v1.AUTO_REUSE)
    with v1.variable_scope(root, auxiliary_name_scope=False):
        made = v1.get_variable(
            name,
            shape=shape,
            dtype=dtype,
            initializer=initializer,
            trainable=trainable,
            use_resource=True,
            partitioner=partitioner,
            aggregation=tf.VariableAggregation.NONE if trainable else tf.VariableAggregation.MEAN,
        )
    parts = parts_of(made)
    return parts[0] if len(parts) == 1 else made


def is_partitioned(variable: Any) -> bool:
    """Whether the variable is made of several."""
    return type(variable).__name__ == "PartitionedVariable"


def parts_of(variable: Any) -> list[Any]:
    """The parts of a partitioned variable, or the variable itself."""
    return list(variable) if is_partitioned(variable) else [variable]


def prepared_columns(columns: Any, kind: str, allowed: Sequence[str]) -> list[Any]:
    """Columns in the order of their names, ready for one trace.

    Args:
        kind: what is allowed, for the error message.
        allowed: a column must have one of these methods.

    Raises:
        ValueError: there are none, one is of another kind, or two have one name.
    """
    if isinstance(columns, Mapping):
        raise ValueError("Expected feature_columns to be iterable, found dict. Pass a list of columns.")
    listed = list(columns) if isinstance(columns, Iterable) and not hasattr(columns, "name") else [columns]
    if not listed:
        raise ValueError("feature_columns must not be empty; pass at least one tf.feature_column.")
    for column in listed:
        if not any(hasattr(column, method) for method in allowed):
            raise ValueError(f"Items of feature_columns must be {kind}. Given: {column}.")
    names = [column.name for column in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Duplicate feature column name found for columns: {twice}. Leave one of them out.")
    if any(hasattr(column, "shared_embedding_column_creator") for column in listed):
        # A shared column keeps its variable in itself, of the first graph that it was used in.
        listed = copy.deepcopy(listed)
    return sorted(listed, key=lambda column: str(column.name))


def create_column_states(columns: Iterable[Any], state: ColumnState) -> None:
    """Lets each column make its variables."""
    for column in columns:
        if hasattr(column, "create_state"):
            column.create_state(state)
