"""`DenseFeatures`: dense columns as a Keras layer."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.python.feature_column import serialization

from .dense import DenseInput

#: Columns of layers by their names, while a model is copied: columns may hold functions, which no configuration can.
_KNOWN: contextvars.ContextVar[Mapping[str, Any] | None] = contextvars.ContextVar("columns", default=None)


class DenseFeatures(tf.keras.layers.Layer):  # type: ignore[misc]
    """A layer from a dict of features to one float tensor `[batch, width]`, columns in the order of their names.

    It is called in a model_fn by itself, as the first layer of a `Sequential`, or on the inputs of a functional model.
    Its variables are `<name>/<column>/<variable>`, in a model `<model>/<name>/<column>/<variable>`. Called again in one
    graph, it uses them again.

    Args:
        feature_columns: dense columns of `tf.feature_column`, one or several.
        trainable: whether optimizers may change its variables.
        name: scope of the variables; `dense_features` if None, counted up when taken.

    Raises:
        ValueError: a column that is not dense, or two of one name.
    """

    def __init__(self, feature_columns: Any, trainable: bool = True, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self._columns = feature_columns
        self._input = DenseInput(feature_columns, trainable, name)

    def build(self, input_shape: Any = None) -> None:
        """Settles the scope: inside of a model it begins with the model's."""
        if "/" in self.path:
            self._input = self._input.renamed(self.path)
        self.built = True

    def __call__(self, features: Mapping[str, Any], training: bool | None = None, **kwargs: Any) -> tf.Tensor:
        """Adds the ops to the current graph.

        Args:
            features: dict of dense, sparse or ragged tensors.
            training: not used; there for code that passes it.

        Raises:
            KeyError: a column's feature is missing (the error is a ValueError too).
        """
        if isinstance(features, Mapping) and any(isinstance(f, tf.keras.KerasTensor) for f in features.values()):
            return super().__call__(features)
        if not self.built:
            self.build()
        return self._input(features)

    def compute_output_spec(self, features: Mapping[str, Any]) -> Any:
        """Shape and dtype for the inputs of a functional model, `[batch, width]`."""
        columns = self._input.columns
        rows = next(iter(features.values())).shape[0]
        return tf.keras.KerasTensor((rows, sum(c.variable_shape.num_elements() for c in columns)), "float32")

    def get_config(self) -> dict[str, Any]:
        columns = serialization.serialize_feature_columns(self._input.columns)
        return {**super().get_config(), "feature_columns": columns}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DenseFeatures:
        known = (_KNOWN.get() or {}).get(config["name"])
        columns = known if known is not None else serialization.deserialize_feature_columns(config["feature_columns"])
        return cls(**{**config, "feature_columns": columns})

    def call(self, features: Mapping[str, Any]) -> tf.Tensor:
        """As calling the layer; what Keras looks at for the arguments."""
        return self._input(features)

    @property
    def variables(self) -> list[Any]:
        """The variables of the last call's graph; plain TensorFlow ones, as the columns make them."""
        return list(self._input.variables)

    @property
    def weights(self) -> list[Any]:
        return self.variables

    @property
    def trainable_variables(self) -> list[Any]:
        return list(self._input.trainable_variables) if self.trainable else []

    @property
    def trainable_weights(self) -> list[Any]:
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list[Any]:
        trainable = {id(variable) for variable in self.trainable_variables}
        return [variable for variable in self.variables if id(variable) not in trainable]

    @property
    def non_trainable_weights(self) -> list[Any]:
        return self.non_trainable_variables


def layers_with_columns(model: Any) -> dict[str, Any]:
    """The feature columns of a Keras model's layers, by layer name."""
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else []
    return {layer.name: layer._columns for layer in layers if isinstance(layer, DenseFeatures)}


@contextlib.contextmanager
def known_columns(columns: Mapping[str, Any]) -> Iterator[None]:
    """Lets layers that are made from a configuration have these columns, by layer name."""
    token = _KNOWN.set(columns)
    try:
        yield
    finally:
        _KNOWN.reset(token)
