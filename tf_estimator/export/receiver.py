"""Input receivers: what an `input_receiver_fn` returns, the placeholders of a request and the tensors made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

FEATURE = "feature"
LABEL = "label"
INPUT = "input"


class _Serving(NamedTuple):
    features: Any
    receiver_tensors: dict[str, Any]
    receiver_tensors_alternatives: Mapping[str, Mapping[str, Any]] | None


class _Supervised(NamedTuple):
    features: Any
    labels: Any
    receiver_tensors: dict[str, Any]


class _Unsupervised(NamedTuple):
    features: Any
    receiver_tensors: dict[str, Any]


class ServingInputReceiver(_Serving):
    """The input of an exported model in PREDICT mode.

    Args:
        features: a tensor, sparse or ragged tensor, or a dict of those by name: what `model_fn` gets. One tensor
            becomes `{"feature": tensor}`; see `TensorServingInputReceiver` to hand on the tensor itself.
        receiver_tensors: a placeholder or a dict of those: what a client sends. One becomes `{"input": tensor}`.
        receiver_tensors_alternatives: name to another dict of tensors of the same graph that can be fed instead;
            each gives further signatures `"<name>:<output>"`.

    Raises:
        ValueError: something is missing, a key is not a string, or a value is not a tensor.
    """

    __slots__ = ()

    def __new__(
        cls,
        features: Any,
        receiver_tensors: Any,
        receiver_tensors_alternatives: Mapping[str, Any] | None = None,
    ) -> ServingInputReceiver:
        return super().__new__(
            cls,
            _tensors_by_name(features, FEATURE),
            receivers(receiver_tensors),
            _alternatives(receiver_tensors_alternatives),
        )


class TensorServingInputReceiver(_Serving):
    """As `ServingInputReceiver`, for a `model_fn` whose `features` is one tensor and no dict.

    Raises:
        ValueError: `features` is missing or not one tensor, or a receiver is not a tensor.
    """

    __slots__ = ()

    def __new__(
        cls,
        features: Any,
        receiver_tensors: Any,
        receiver_tensors_alternatives: Mapping[str, Any] | None = None,
    ) -> TensorServingInputReceiver:
        if features is None:
            raise ValueError("features must be given: one tensor made from the receiver tensors.")
        _check_tensor(features, FEATURE)
        return super().__new__(cls, features, receivers(receiver_tensors), _alternatives(receiver_tensors_alternatives))


class SupervisedInputReceiver(_Supervised):
    """The input of an exported model in TRAIN or EVAL mode: features and labels, each a tensor or a dict of tensors,
    and the receiver tensors of both.

    Raises:
        ValueError: something is missing, a key is not a string, or a value is not a tensor.
    """

    __slots__ = ()

    def __new__(cls, features: Any, labels: Any, receiver_tensors: Any) -> SupervisedInputReceiver:
        _check_tensors(features, FEATURE)
        _check_tensors(labels, LABEL)
        return super().__new__(cls, features, labels, receivers(receiver_tensors))


class UnsupervisedInputReceiver(_Unsupervised):
    """The input of an exported model in TRAIN or EVAL mode that has no labels.

    Raises:
        ValueError: something is missing, a key is not a string, or a value is not a tensor.
    """

    __slots__ = ()

    def __new__(cls, features: Any, receiver_tensors: Any) -> UnsupervisedInputReceiver:
        _check_tensors(features, FEATURE)
        return super().__new__(cls, features, receivers(receiver_tensors))


def receivers(receiver_tensors: Any) -> dict[str, Any]:
    """Receiver tensors as a dict by name; one tensor is called `input`.

    Raises:
        ValueError: none given, a key is not a string, or a value is not a plain tensor.
    """
    if receiver_tensors is None:
        raise ValueError("receiver_tensors must be given: the placeholders that a client feeds, by name.")
    if not isinstance(receiver_tensors, Mapping):
        receiver_tensors = {INPUT: receiver_tensors}
    for name, tensor in receiver_tensors.items():
        _check_name(name, "receiver_tensors")
        if not isinstance(tensor, tf.Tensor | tf.compat.v1.SparseTensor | tf.RaggedTensor):
            raise ValueError(f"receiver_tensors {name!r} must be a tensor, not {tensor!r}.")
    return dict(receiver_tensors)


def _tensors_by_name(values: Any, what: str) -> dict[str, Any]:
    _check_tensors(values, what)
    return dict(values) if isinstance(values, Mapping) else {what: values}


def _check_tensors(values: Any, what: str) -> None:
    if values is None:
        raise ValueError(f"{what}s must be given: a tensor, or a dict of tensors by name.")
    if not isinstance(values, Mapping):
        _check_tensor(values, what)
        return
    for name, tensor in values.items():
        if not isinstance(name, int):  # as the features of an input function may be numbered
            _check_name(name, what)
        _check_tensor(tensor, f"{what} {name!r}")


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str):
        raise ValueError(f"{what} keys must be strings, not {name!r}; rename the key.")


def _check_tensor(tensor: Any, what: str) -> None:
    if not isinstance(tensor, tf.Tensor | tf.SparseTensor | tf.RaggedTensor):
        raise ValueError(f"{what} must be a tensor, sparse tensor or ragged tensor, not {tensor!r}.")


def _alternatives(alternatives: Any) -> dict[str, dict[str, Any]] | None:
    if alternatives is None:
        return None
    if not isinstance(alternatives, Mapping):
        raise ValueError(
            f"receiver_tensors_alternatives must be a dict of dicts of tensors, not {type(alternatives).__name__}."
        )
    return {name: receivers(tensors) for name, tensors in alternatives.items()}
