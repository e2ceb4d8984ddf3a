"""Export outputs: what one signature of a SavedModel answers.

A head gives a dict of signature name to one of these; the exporter turns each into a `SignatureDef`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import tensorflow as tf


class ExportOutput(abc.ABC):
    """What a signature answers. `outputs` maps output names to tensors."""

    @property
    @abc.abstractmethod
    def outputs(self) -> dict[str, tf.Tensor]:
        """Output name to tensor."""

    @abc.abstractmethod
    def as_signature_def(self, receiver_tensors: Mapping[str, tf.Tensor]) -> Any:
        """The `SignatureDef` with `receiver_tensors` (name to placeholder) as inputs.

        Raises:
            ValueError: the receiver tensors do not fit this kind of signature.
        """


class ClassificationOutput(ExportOutput):
    """Classes and their scores, for TensorFlow Serving's classify method.

    Args:
        scores: float tensor `[batch, n]`, the score of each class; None when there are only classes.
        classes: string tensor `[batch, n]`, the classes' names; None when there are only scores.

    Raises:
        ValueError: both are None, `scores` is not a float tensor or `classes` not a string tensor.
    """

    def __init__(self, scores: Any = None, classes: Any = None) -> None:
        if scores is None and classes is None:
            raise ValueError("ClassificationOutput needs scores or classes or both; both are None.")
        if scores is not None and not (tf.is_tensor(scores) and scores.dtype.is_floating):
            raise ValueError(f"Classification scores must be a float32 Tensor; got {scores}.")
        if classes is not None and not (tf.is_tensor(classes) and classes.dtype == tf.string):
            raise ValueError(
                f"Classification classes must be a string Tensor; got {classes}; tf.strings.as_string makes one."
            )
        self._scores = scores
        self._classes = classes

    @property
    def scores(self) -> Any:
        return self._scores

    @property
    def classes(self) -> Any:
        return self._classes

    @property
    def outputs(self) -> dict[str, tf.Tensor]:
        both = {"classes": self._classes, "scores": self._scores}
        return {name: tensor for name, tensor in both.items() if tensor is not None}

    def as_signature_def(self, receiver_tensors: Mapping[str, tf.Tensor]) -> Any:
        examples = _single_examples_tensor("Classification", receiver_tensors)
        return tf.compat.v1.saved_model.classification_signature_def(examples, self._classes, self._scores)


class RegressionOutput(ExportOutput):
    """A predicted value, for TensorFlow Serving's regress method.

    Args:
        value: float tensor `[batch, …]`.

    Raises:
        ValueError: `value` is not a float tensor.
    """

    def __init__(self, value: Any) -> None:
        if not (tf.is_tensor(value) and value.dtype.is_floating):
            raise ValueError(f"Regression output value must be a float32 Tensor; got {value}.")
        self._value = value

    @property
    def value(self) -> tf.Tensor:
        return self._value

    @property
    def outputs(self) -> dict[str, tf.Tensor]:
        return {"outputs": self._value}

    def as_signature_def(self, receiver_tensors: Mapping[str, tf.Tensor]) -> Any:
        examples = _single_examples_tensor("Regression", receiver_tensors)
        return tf.compat.v1.saved_model.regression_signature_def(examples, self._value)


class PredictOutput(ExportOutput):
    """Any named tensors, for TensorFlow Serving's predict method.

    Args:
        outputs: a tensor (named `output`) or a dict of name to tensor; the parts of a tuple key are joined with "/".

    Raises:
        ValueError: a key is neither a string nor a tuple of strings, or a value is not a tensor.
    """

    def __init__(self, outputs: Any) -> None:
        named = outputs if isinstance(outputs, Mapping) else {"output": outputs}
        self._outputs = {}
        for key, tensor in named.items():
            name = "/".join(key) if isinstance(key, tuple) else key
            if not isinstance(name, str):
                raise ValueError(f"Prediction output key must be a string or a tuple of strings; got {key!r}.")
            if not tf.is_tensor(tensor):
                raise ValueError(f"Prediction output {name!r} must be a Tensor; got {tensor!r}.")
            self._outputs[name] = tensor

    @property
    def outputs(self) -> dict[str, tf.Tensor]:
        return dict(self._outputs)

    def as_signature_def(self, receiver_tensors: Mapping[str, tf.Tensor]) -> Any:
        return tf.compat.v1.saved_model.predict_signature_def(dict(receiver_tensors), self._outputs)


def _single_examples_tensor(kind: str, receiver_tensors: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The one string tensor of serialized examples that classify and regress signatures take."""
    if len(receiver_tensors) != 1:
        raise ValueError(f"{kind} signatures take a single string Tensor as input; got {sorted(receiver_tensors)}.")
    (examples,) = receiver_tensors.values()
    if examples.dtype != tf.string:
        raise ValueError(f"{kind} signatures take a single string Tensor as input; got {examples}.")
    return examples
