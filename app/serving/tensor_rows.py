"""Tensors of a request and of an answer as the rows that JSON would have had, for the record; and whether two answers
agree, as `app.releases.compare` says of JSON's.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.releases.compare import ABSOLUTE, DECISIONS, RELATIVE
from app.serving.decode import Decoder
from app.serving.export_description import EXAMPLES_FEATURE, InputFeature, inputs_of
from app.serving.packing import object_array
from app.serving.predictor.response import ResponseEncoder
from app.serving.tensors import Tensor, decode_outputs
from app.serving.verbs import VERBS


def rows_of_tensors(decoder: Decoder, signature: str, tensors: Mapping[str, Tensor]) -> list[Any]:
    """The instances that valid tensors hold: values by feature, without those that were left out; serialized
    `tf.Example`s where the signature takes them."""
    described = decoder.export.signatures[signature]
    if described.input == "examples":
        return list(tensors[EXAMPLES_FEATURE.name].values)
    columns = {}
    for feature in inputs_of(decoder.export, described):
        if feature.name in tensors:
            lengths = tensors.get(feature.length_input or f"{feature.name}_length") if feature.sequence else None
            columns[feature.name] = _values(feature, tensors[feature.name], lengths)
    return rows_of_columns(columns)


def rows_of_columns(columns: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """A dictionary a row; all columns have as many values. Raises ValueError where they have not."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(feature: InputFeature, tensor: Tensor, lengths: Tensor | None) -> list[Any]:
    """A row's value each."""
    if tensor.dtype == "string":
        array = object_array([plain(value) for value in tensor.values], tensor.shape)
    else:
        array = tensor.values
    if not feature.sequence:
        return array.reshape(tensor.shape[0], *feature.shape).tolist()  # type: ignore[no-any-return]
    rows: list[Any] = array.tolist()
    return rows if lengths is None else [row[:size] for row, size in zip(rows, lengths.values.tolist(), strict=True)]


def plain(value: bytes) -> Any:
    """A string as JSON has it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode("ascii")}


def json_answer(verb: str, outputs: bytes) -> bytes:
    """The body that JSON's answer of a verb has, of outputs as the predictor sends them."""
    tensors = decode_outputs(outputs)
    arrays = [_array(tensor) for tensor in tensors.values()]
    rows = len(arrays[0]) if arrays else 0
    return ResponseEncoder(list(tensors)).encode(arrays, [rows], [VERBS[verb].form])[0]


def _array(tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype == "string":
        return object_array(tensor.values, tensor.shape)
    if tensor.dtype == "bfloat16":
        return (tensor.values.astype(np.uint32) << np.uint32(16)).view(np.float32)  # type: ignore[no-any-return]
    return tensor.values  # type: ignore[no-any-return]


def compare_outputs(live: bytes, other: bytes) -> tuple[bool, float]:
    """Whether the outputs of two versions agree, and the largest difference between two numbers of the same place.

    Args:
        live, other: as the predictor sends them.
    """
    if live == other:
        return True, 0.0
    first = {name: _array(tensor) for name, tensor in decode_outputs(live).items()}
    second = {name: _array(tensor) for name, tensor in decode_outputs(other).items()}
    alike = [name for name in first if name in second and first[name].shape == second[name].shape]
    difference = max((_difference(first[name], second[name]) for name in alike), default=0.0)
    if len(alike) < max(len(first), len(second)):
        return False, difference
    if _ranks_classes(first) and _ranks_classes(second):
        return bool((_best(first) == _best(second)).all()), difference
    deciding = [name for name in DECISIONS if name in first]
    if deciding:
        return all(bool((first[name] == second[name]).all()) for name in deciding), difference
    return all(_near(first[name], second[name]) for name in first), difference


def _ranks_classes(outputs: Mapping[str, NDArray[Any]]) -> bool:
    """Whether each row has a score for each of several classes."""
    scores, classes = outputs.get("scores"), outputs.get("classes")
    if scores is None or classes is None or scores.ndim != 2 or scores.shape != classes.shape or not len(scores):
        return False
    return len(set(classes[0].tolist())) == classes.shape[1] > 1 and scores.dtype.kind == "f"


def _best(outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    rows = np.arange(len(outputs["scores"]))
    return outputs["classes"][rows, outputs["scores"].argmax(axis=1)]  # type: ignore[no-any-return]


def _numbers(array: NDArray[Any]) -> NDArray[Any] | None:
    """None for strings and booleans. What JSON says as null is not a number."""
    if array.dtype.kind not in "fiu":
        return None
    values = array.astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    one, other = _numbers(first), _numbers(second)
    if one is None or other is None:
        return 0.0
    found = np.abs(one - other)
    return float(found.max(initial=0.0, where=np.isfinite(found)))


def _near(first: NDArray[Any], second: NDArray[Any]) -> bool:
    one, other = _numbers(first), _numbers(second)
    if one is None or other is None:
        return bool((first == second).all())
    most = np.maximum(RELATIVE * np.maximum(np.abs(one), np.abs(other)), ABSOLUTE)
    return bool(((np.abs(one - other) <= most) | (np.isnan(one) & np.isnan(other))).all())
