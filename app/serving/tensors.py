"""Tensors that a request brings as values of features, and a version's outputs as tensors: what all protocols with
binary values share. They are checked as JSON's rows are, and become the columns that rows would become.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput, TooLarge, quote_name
from app.serving.decode import MOST_CELLS, Decoded, Decoder
from app.serving.export_description import InputFeature, inputs_of
from app.serving.feature_values import FLOAT32_LIMIT, INT64_MAX, stand_in
from app.serving.protocol import Column, Form

_EXACT_FLOAT = 2**53


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor of a request or an answer.

    Attributes:
        dtype: numpy's name of it, or `string`, or `bfloat16`.
        values: array of that shape; flat list of bytes for strings; uint16 bits for an answer's bfloat16.
    """

    dtype: str
    shape: tuple[int, ...]
    values: Any


class _Output(msgspec.Struct, array_like=True, gc=False):
    """One output as the predictor sends it: raw little-endian values, or strings."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: bytes | list[bytes]


_outputs = msgspec.msgpack.Decoder(list[_Output])
_encode = msgspec.msgpack.Encoder().encode


def encode_outputs(names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> bytes:
    """A request's part of the outputs, as `decode_outputs` reads it. Runs in the predictor."""
    return _encode([_output(name, array) for name, array in zip(names, arrays, strict=True)])


def _output(name: str, array: NDArray[Any]) -> _Output:
    if array.dtype.kind in "OSU":
        values = [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel().tolist()]
        return _Output(name, "string", array.shape, values)
    return _Output(name, array.dtype.name, array.shape, array.tobytes())


def decode_outputs(body: bytes) -> dict[str, Tensor]:
    """Outputs by name."""
    found = {}
    for output in _outputs.decode(body):
        values: Any = output.values
        if not isinstance(values, list):
            stored = "uint16" if output.dtype == "bfloat16" else output.dtype
            values = np.frombuffer(values, stored).reshape(output.shape)
        found[output.name] = Tensor(output.dtype, output.shape, values)
    return found


def decode_tensors(decoder: Decoder, signature: str, tensors: Mapping[str, Tensor]) -> Decoded:
    """A request's tensors, checked against the inputs of a signature that the version has.

    Raises:
        InvalidInput: naming the input and what is expected.
        TooLarge: too many rows, or too many values once sequences are padded.
    """
    features = inputs_of(decoder.export, decoder.export.signatures[signature])
    lengths = {feature.length_input or f"{feature.name}_length": feature for feature in features if feature.sequence}
    unknown = tensors.keys() - {feature.name for feature in features} - lengths.keys()
    if unknown:
        known = ", ".join(quote_name(feature.name) for feature in features[:20])
        raise InvalidInput(f"The signature has no input {quote_name(min(unknown))}; it has {known}.")
    rows = _rows(tensors)
    if not rows:  # other dimensions may still be large
        raise InvalidInput("The request has no rows.")
    if rows > decoder.max_rows:
        raise TooLarge(f"The request has {rows} rows; the most is {decoder.max_rows}. Send it in parts.")
    values: dict[str, Any] = {}
    for feature in features:
        tensor = tensors.get(feature.name)
        if feature.sequence:
            length = tensors.get(feature.length_input or f"{feature.name}_length")
            values[feature.name] = _sequence(feature, tensor, length, rows)
        else:
            values[feature.name] = _absent(feature, rows) if tensor is None else _values(feature, tensor, feature.shape)
    return pack_values(decoder, signature, values, rows)


def pack_values(decoder: Decoder, signature: str, values: Mapping[str, Any], rows: int) -> Decoded:
    """Values that fit the signature's inputs, as a request.

    Args:
        values: by feature: an array of the feature's dtype, the batch first; a flat list of bytes for strings; for a
            sequence a pair: all values of all rows, and how many each row has (int64).

    Raises TooLarge: too many values once sequences are padded.
    """
    sequences = [value[1] for value in values.values() if isinstance(value, tuple)]
    longest = max((int(counts.max(initial=0)) for counts in sequences), default=0)
    if longest * rows > MOST_CELLS:
        raise TooLarge(
            f"The request has {rows} rows and a sequence of {longest} values; padded to the longest that is more than "
            f"{MOST_CELLS}. Send it in parts."
        )
    columns = _columns(decoder, signature, values, rows)
    if decoder.export.signatures[signature].input == "examples":
        longest = decoder.longest_of_examples(columns[0])
    return Decoded(signature, Form.TENSORS, [], longest, rows, columns=columns)


def _rows(tensors: Mapping[str, Tensor]) -> int:
    """Raises InvalidInput where they have none, or different numbers of them."""
    if not tensors:
        raise InvalidInput("The request has no input.")
    for name, tensor in tensors.items():
        if not tensor.shape:
            raise InvalidInput(f"Input {quote_name(name)} is a scalar; its first dimension has to be the batch.")
    counts = {name: tensor.shape[0] for name, tensor in tensors.items()}
    if len({*counts.values()}) > 1:
        counted = ", ".join(f"{quote_name(name)} {count}" for name, count in list(counts.items())[:5])
        raise InvalidInput(f"The inputs have different numbers of rows: {counted}.")
    return next(iter(counts.values()))


def _absent(feature: InputFeature, rows: int) -> Any:
    if feature.missing is None:
        raise InvalidInput(f"Input {quote_name(feature.name)} is missing; it has no value to stand in for it.")
    value = stand_in(feature)
    if feature.dtype == "string":
        flat = np.array(value, object).ravel().tolist()
        return flat * rows
    return np.broadcast_to(np.array(value, _NUMPY[feature.dtype]), (rows, *feature.shape))


def _values(feature: InputFeature, tensor: Tensor, shape: tuple[int, ...]) -> Any:
    """The tensor's values in the feature's dtype, the batch first; a flat list for strings."""
    wanted = (tensor.shape[0], *shape)
    if tensor.shape == wanted and tensor.dtype == feature.dtype:
        return tensor.values
    same = tensor.shape == wanted or (shape in ((), (1,)) and tensor.shape in (wanted[:1], (wanted[0], 1)))
    if not same:
        expected = ", ".join(["batch", *map(str, shape)])
        raise InvalidInput(
            f"Input {quote_name(feature.name)} has the shape {list(tensor.shape)[:16]}; it has to be [{expected}]."
        )
    return _cast(feature, tensor, wanted)


def _cast(feature: InputFeature, tensor: Tensor, shape: tuple[int, ...]) -> Any:
    if (feature.dtype == "string") != (tensor.dtype == "string"):
        raise _wrong_dtype(feature, tensor.dtype)
    if feature.dtype == "string":
        return tensor.values
    return cast_array(feature, tensor.values.reshape(shape))


def cast_array(feature: InputFeature, array: NDArray[Any]) -> NDArray[Any]:
    """Numbers in the feature's dtype. Raises InvalidInput where that cannot hold them."""
    converted = _TO[feature.dtype](array)
    if converted is None:
        raise _wrong_dtype(feature, array.dtype.name)
    return converted


def _wrong_dtype(feature: InputFeature, dtype: str) -> InvalidInput:
    return InvalidInput(
        f"Input {quote_name(feature.name)} is of {dtype}; it has to be of {feature.dtype}, or of values that "
        "this dtype can hold."
    )


def _to_float32(array: NDArray[Any]) -> NDArray[Any] | None:
    if array.dtype == np.float32:
        return array
    if array.dtype.kind not in "fiub":
        return None
    if array.dtype == np.float64:
        finite = np.abs(array[np.isfinite(array)])
        if finite.size and finite.max() >= FLOAT32_LIMIT:
            return None
    return array.astype("<f4")


def _to_int64(array: NDArray[Any]) -> NDArray[Any] | None:
    kind = array.dtype.kind
    if kind == "f":
        if not np.isfinite(array).all() or (np.trunc(array) != array).any() or (np.abs(array) > _EXACT_FLOAT).any():
            return None
    elif kind not in "iub" or (array.dtype == np.uint64 and array.size and int(array.max()) > INT64_MAX):
        return None
    return array.astype("<i8", copy=False)


_NUMPY = {"float32": "<f4", "int64": "<i8"}
_TO: dict[str, Callable[[NDArray[Any]], NDArray[Any] | None]] = {"float32": _to_float32, "int64": _to_int64}


def _sequence(feature: InputFeature, tensor: Tensor | None, lengths: Tensor | None, rows: int) -> tuple[Any, Any]:
    """All values of a padded tensor `[batch, time, …]` that count, and how many each row has.

    Without lengths a row is as long as the tensor.
    """
    name = quote_name(feature.name)
    if tensor is None:
        one = stand_in(feature) if feature.missing is not None else _absent(feature, rows)
        counts = np.full(rows, len(one), "<i8")
        return (one * rows if feature.dtype == "string" else np.array(one * rows, _NUMPY[feature.dtype])), counts
    if len(tensor.shape) != 2 + len(feature.shape) or tensor.shape[2:] != feature.shape:
        raise InvalidInput(f"Input {name} has the shape {list(tensor.shape)[:16]}; a sequence is [batch, time, …].")
    time = tensor.shape[1]
    values = _cast(feature, tensor, tensor.shape)
    if lengths is None:
        counts = np.full(rows, time, "<i8")
        return (values if feature.dtype == "string" else values.reshape(rows * time, *feature.shape)), counts
    found = None if lengths.dtype == "string" or lengths.shape != (rows,) else _to_int64(lengths.values)
    if found is None or (rows and (found.min() < 0 or found.max() > time)):
        raise InvalidInput(f"The lengths of input {name} have to be [batch] of int64, each from 0 to {time}.")
    counted = np.arange(time) < found[:, None]
    if feature.dtype == "string":
        width = math.prod(feature.shape)
        kept = np.flatnonzero(np.repeat(counted.ravel(), width))
        return [values[i] for i in kept.tolist()], found
    return values[counted], found


def _columns(decoder: Decoder, signature: str, values: Mapping[str, Any], rows: int) -> list[Column]:
    """As `RowPacker.pack` lays out the same rows."""
    columns: list[Column] = []
    for tensor in decoder.packers[signature].tensors:
        if tensor.sequence:
            flat, counts = values[tensor.names[0]]
            columns += [_column(flat, tensor.dtype), counts.tobytes()]
        elif not tensor.together or len(tensor.names) == 1:
            columns.append(_column(values[tensor.names[0]], tensor.dtype))
        elif tensor.dtype == "string":
            parts = [values[name] for name in tensor.names]
            columns.append([value for row in zip(*parts, strict=True) for value in row])
        else:
            matrix = np.empty((rows, len(tensor.names)), _NUMPY[tensor.dtype])
            for i, name in enumerate(tensor.names):
                matrix[:, i] = values[name]
            columns.append(matrix.tobytes())
    return columns


def _column(values: Any, dtype: str) -> Column:
    return values if dtype == "string" else values.astype(_NUMPY[dtype], copy=False).tobytes()  # type: ignore[no-any-return]
