"""`DenseFeatures`: dense columns as a Keras layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from .dense import DenseInput


class DenseFeatures(tf.keras.layers.Layer):  # type: ignore[misc]
    """A layer from a dict of features to one float tensor `[batch, width]`, columns in the order of their names.

    It is called in a model_fn, by itself or as the first layer of a `Sequential`. Its variables are
    `<name>/<column>/<variable>`, in a model `<model>/<name>/<column>/<variable>`. Called again in one graph, it uses
    them again.

    Args:
        feature_columns: dense columns of `tf.feature_column`, one or several.
        trainable: whether optimizers may change its variables.
        name: scope of the variables; `dense_features` if None, counted up when taken.

    Raises:
        ValueError: a column that is not dense, or two of one name.
    """

    def __init__(self, feature_columns: Any, trainable: bool = True, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self._named = name
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
        if not self.built:
            self.build()
        return self._input(features)

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
