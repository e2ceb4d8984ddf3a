"""Rows of a request (`{feature: value}`) as the arrays that a served model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import feature
from .feature import FeatureInfo

_DTYPES: dict[str, Any] = {"float32": np.float32, "int64": np.int64, "string": np.object_}


def arrays(rows: Sequence[Mapping[str, Any]], features: Sequence[FeatureInfo]) -> dict[str, npt.NDArray[Any]]:
    """Input name (see `feature.inputs`) to array, the first dimension being the rows; a sequence gives two.

    A null or absent value is replaced by `missing["value"]`.

    Raises:
        ValueError: a value is missing and has no replacement, or does not fit the feature's dtype or shape.
    """
    names = feature.inputs(features)
    inputs: dict[str, npt.NDArray[Any]] = {}
    for info in features:
        name = names[info.name]
        values = [_value(row, number, info) for number, row in enumerate(rows)]
        if name.lengths is not None:
            inputs[name.values], inputs[name.lengths] = _padded(values, info)
        else:
            inputs[name.values] = _dense(values, info)
    return inputs


def _value(row: Mapping[str, Any], number: int, info: FeatureInfo) -> Any:
    value = row.get(info.name)
    if value is not None:
        return value
    if info.missing is not None:
        return info.missing["value"]
    if info.sequence:
        return []
    raise ValueError(f"Row {number} has no value for feature {info.name!r}, and the model has no replacement for it.")


def _dense(values: list[Any], info: FeatureInfo) -> npt.NDArray[Any]:
    try:
        rows = [np.broadcast_to(np.asarray(value, _DTYPES[info.dtype]), info.shape) for value in values]
        return np.stack(rows) if rows else np.empty((0, *info.shape), _DTYPES[info.dtype])
    except (TypeError, ValueError) as error:
        raise ValueError(f"Feature {info.name!r} takes {info.dtype} values of shape {info.shape}: {error}") from error


def _padded(values: list[Any], info: FeatureInfo) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    lengths = np.array([len(steps) for steps in values], np.int64)
    shape = (len(values), int(lengths.max(initial=0)), *info.shape)
    padded = np.full(shape, info.padding, _DTYPES[info.dtype])
    try:
        for row, steps in zip(padded, values, strict=True):
            if len(steps):
                row[: len(steps)] = np.asarray(steps, _DTYPES[info.dtype])
    except (TypeError, ValueError) as error:
        raise ValueError(f"Feature {info.name!r} takes lists of {info.dtype} {info.shape} steps: {error}") from error
    return padded, lengths
