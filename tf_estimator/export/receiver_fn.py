"""Functions that make input receivers: from `tf.Example` specs, from placeholders, from an `input_fn`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from .receiver import FEATURE, INPUT, LABEL, ServingInputReceiver, SupervisedInputReceiver, TensorServingInputReceiver

#: Name of the one receiver of a parsing signature, as TensorFlow Serving's clients know it.
EXAMPLES = "examples"


def build_parsing_serving_input_receiver_fn(
    feature_spec: Mapping[str, Any], default_batch_size: int | None = None
) -> Callable[[], ServingInputReceiver]:
    """A receiver function for serialized `tf.Example`s.

    Args:
        feature_spec: name to `tf.io.FixedLenFeature`, `VarLenFeature`, …, as
            `tf.feature_column.make_parse_example_spec` gives it.
        default_batch_size: number of examples in a request, None for any.

    Returns:
        a function without arguments; its receiver is one string tensor `examples` of shape [batch], also offered
        under the name `inputs` by the classification and regression signatures.
    """

    def receiver_fn() -> ServingInputReceiver:
        examples = tf.compat.v1.placeholder(tf.string, [default_batch_size], name="input_example_tensor")
        features = tf.io.parse_example(examples, dict(feature_spec))
        return ServingInputReceiver(features, {EXAMPLES: examples})

    return receiver_fn


def build_raw_serving_input_receiver_fn(
    features: Any, default_batch_size: int | None = None
) -> Callable[[], ServingInputReceiver | TensorServingInputReceiver]:
    """A receiver function that takes the features themselves.

    Args:
        features: a dict of tensors by name (or one tensor): their dtype and shape are what counts; the first
            dimension is the batch.
        default_batch_size: size of the first dimension, None for any.

    Returns:
        a function without arguments; its receivers are placeholders of the features' names.
    """
    specs = _specs(features, default_batch_size)

    def receiver_fn() -> ServingInputReceiver | TensorServingInputReceiver:
        placeholders = _placeholders(specs)
        if isinstance(placeholders, dict):
            return ServingInputReceiver(placeholders, placeholders)
        return TensorServingInputReceiver(placeholders, placeholders)

    return receiver_fn


def build_raw_supervised_input_receiver_fn(
    features: Any, labels: Any, default_batch_size: int | None = None
) -> Callable[[], SupervisedInputReceiver]:
    """A receiver function for TRAIN and EVAL mode that takes features and labels themselves.

    Args:
        features, labels: a tensor or a dict of tensors by name; dtype and shape count, the first dimension is the
            batch.
        default_batch_size: size of the first dimension, None for any.

    Raises:
        ValueError: features and labels share a name, so a client could not feed them apart.
    """
    feature_names = set(features) if isinstance(features, Mapping) else {INPUT}
    label_names = set(labels) if isinstance(labels, Mapping) else {LABEL}
    both = sorted(feature_names & label_names)
    if both:
        raise ValueError(f"Features and labels must have different names; {both} are in both. Rename them.")
    feature_specs = _specs(features, default_batch_size)
    label_specs = _specs(labels, default_batch_size)

    def receiver_fn() -> SupervisedInputReceiver:
        feature_tensors = _placeholders(feature_specs, INPUT)
        label_tensors = _placeholders(label_specs, LABEL)
        by_name = {**_by_name(feature_tensors, INPUT), **_by_name(label_tensors, LABEL)}
        return SupervisedInputReceiver(feature_tensors, label_tensors, by_name)

    return receiver_fn


def build_supervised_input_receiver_fn_from_input_fn(
    input_fn: Callable[..., Any], **input_fn_args: Any
) -> Callable[[], SupervisedInputReceiver]:
    """A receiver function for TRAIN and EVAL mode with the dtypes and shapes that `input_fn(**input_fn_args)` gives.

    `input_fn` is called once, now, in a graph that is thrown away. It returns a `tf.data.Dataset` of
    `(features, labels)` or the pair itself.

    Raises:
        ValueError: it does not return features and labels.
    """
    with tf.Graph().as_default():
        result = input_fn(**input_fn_args)
        element = result.element_spec if isinstance(result, tf.data.Dataset) else result
        if not isinstance(element, tuple | list) or len(element) != 2:
            raise ValueError(f"input_fn must give a pair (features, labels) to export from, not {element!r}.")
        features, labels = (_specs(part, None) for part in element)
    return build_raw_supervised_input_receiver_fn(features, labels)


def _specs(tensors: Any, batch_size: int | None) -> Any:
    """`tf.TensorSpec`s with the batch dimension left open (or `batch_size`)."""
    if isinstance(tensors, Mapping):
        return {name: _spec(tensor, name, batch_size) for name, tensor in tensors.items()}
    return _spec(tensors, None, batch_size)


def _spec(tensor: Any, name: str | None, batch_size: int | None) -> tf.TensorSpec | tf.SparseTensorSpec:
    shape = tf.TensorShape(tensor.shape)
    if shape.rank is not None and shape.rank > 0:
        shape = tf.TensorShape([batch_size]).concatenate(shape[1:])
    if isinstance(tensor, tf.SparseTensor | tf.SparseTensorSpec):
        return tf.SparseTensorSpec(shape, tensor.dtype)
    # A graph tensor's own name carries the output number, which a placeholder's name must not.
    return tf.TensorSpec(shape, tensor.dtype, name=name)


def _placeholders(specs: Any, default_name: str | None = None) -> Any:
    if isinstance(specs, dict):
        return {name: _placeholder(spec, name) for name, spec in specs.items()}
    return _placeholder(specs, default_name or FEATURE)


def _placeholder(spec: tf.TensorSpec | tf.SparseTensorSpec, name: str) -> Any:
    if isinstance(spec, tf.SparseTensorSpec):
        return tf.compat.v1.sparse_placeholder(spec.dtype, spec.shape, name=op_name(name))
    return tf.compat.v1.placeholder(spec.dtype, spec.shape, name=op_name(name))


def _by_name(tensors: Any, name: str) -> dict[str, Any]:
    return tensors if isinstance(tensors, dict) else {name: tensors}


def op_name(feature: str) -> str:
    """`feature` as a legal graph name: what TensorFlow does not allow there becomes `_`."""
    legal = "".join(c if c.isascii() and (c.isalnum() or c in "._-/") else "_" for c in feature)
    return legal if legal[:1].isalnum() or legal[:1] == "." else f"f{legal}"
