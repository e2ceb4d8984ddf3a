"""Features of an input function as a Keras model takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import MissingFeatureError

#: Names that Keras gives to inputs without one, today's and those of TensorFlow before 2.16.
_UNNAMED = re.compile(r"(keras_tensor|input_layer)(_\d+)?")
_UNNAMED_OLD = re.compile(r"input_\d+|\w+_input|(keras_tensor|input_layer)(_\d+)?")


def split_weights(features: Any) -> tuple[Any, Any]:
    """Features, and the sample weights that came with them as `{"features": …, "sample_weights": …}`; else None."""
    if not isinstance(features, Mapping) or set(features) != {"features", "sample_weights"}:
        return features, None
    weights = features["sample_weights"]
    if isinstance(weights, list | tuple) and len(weights) == 1:
        weights = weights[0]
    return features["features"], weights


def inputs_of(model: Any, features: Any) -> Any:
    """The features as the model takes them: one tensor, a dict by input name, or as they are.

    Inputs that the author of the model did not name may be called as Keras or its predecessor calls them.

    Raises:
        MissingFeatureError: an input of the model is not among the features.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:  # A subclass, or a sequential model that begins with a layer of feature columns.
        return features
    names = [tensor.name for tensor in inputs]
    if isinstance(features, list | tuple):
        if len(features) != len(names):
            raise MissingFeatureError(f"The model has the inputs {names}, but input_fn gives {len(features)} features.")
        return features[0] if len(names) == 1 else _arranged(model, dict(zip(names, features, strict=True)))
    if not isinstance(features, Mapping):
        return features
    by_name = _by_name(names, features)
    return by_name[names[0]] if len(names) == 1 and not _takes_mapping(model) else _arranged(model, by_name)


def _by_name(names: list[str], features: Mapping[Any, Any]) -> dict[str, Any]:
    missing = sorted(set(names) - set(features))
    if not missing:
        return {name: features[name] for name in names}
    unnamed = all(_UNNAMED.fullmatch(name) for name in names)
    if unnamed and len(features) == len(names) and all(_UNNAMED_OLD.fullmatch(str(name)) for name in features):
        ordered = sorted(features, key=lambda name: (len(str(name)), str(name)))
        return {name: features[old] for name, old in zip(names, ordered, strict=True)}
    raise MissingFeatureError(
        f"The features do not cover the inputs of the Keras model: it has {names}, the features are "
        f"{sorted(map(str, features))}, so {missing} are missing."
    )


def _takes_mapping(model: Any) -> bool:
    return isinstance(getattr(model, "_inputs_struct", None), Mapping)


def _arranged(model: Any, by_name: dict[str, Any]) -> Any:
    """The inputs in the structure that the model was made with: a dict has its own keys."""
    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, Mapping):
        return {key: by_name[tensor.name] for key, tensor in structure.items()}
    return [by_name[tensor.name] for tensor in model.inputs]
