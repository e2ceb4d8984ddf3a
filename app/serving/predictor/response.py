"""Outputs of a signature as response bodies, in TensorFlow Serving's shapes. Runs in the predictor process.

`predictions` (row form): bare values when the signature has one output, else an object a row. `outputs` (column form):
the bare batch, or an object of batches. `:classify` and `:regress` answer `results`, as TensorFlow Serving does; its
documentation says `result`, so that both stand there. Strings that are not UTF-8, and all of an output whose name ends
in `_bytes`, are `{"b64": …}`. A number that JSON cannot express (NaN, infinite) is null.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.serving.field_names import can_be_fields
from app.serving.packing import nested
from app.serving.protocol import Form
from app.serving.tensors import encode_outputs

_encode = msgspec.json.Encoder().encode


class _Predictions(msgspec.Struct, gc=False):
    predictions: list[Any]


class ResponseEncoder:
    """Encodes the outputs of one signature.

    Args:
        names: its outputs, in the order of the arrays that `encode` gets.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        fields = [(f"f{i}", Any) for i in range(len(self.names))]
        renamed = {f"f{i}": name for i, name in enumerate(self.names)}
        self._row: Any = (
            msgspec.defstruct("Prediction", fields, rename=renamed, gc=False)
            if can_be_fields(self.names)
            else lambda *values: dict(zip(self.names, values, strict=True))
        )

    def encode(self, arrays: Sequence[NDArray[Any]], counts: Sequence[int], forms: Sequence[int]) -> list[bytes]:
        """One body a request.

        Args:
            arrays: one an output, the batch first, rows of all requests after each other.
            counts: rows of each request.
        """
        if len(forms) == 1 and forms[0] == Form.ROW:
            columns = [_plain(name, array) for name, array in zip(self.names, arrays, strict=True)]
            return [_encode(_Predictions(self._rows(columns)))]
        columns = []
        if any(form != Form.TENSORS for form in forms):
            columns = [_plain(name, array) for name, array in zip(self.names, arrays, strict=True)]
        rows: list[Any] | None = None
        bodies = []
        start = 0
        for count, form in zip(counts, forms, strict=True):
            end = start + count
            if form == Form.ROW:
                if rows is None:
                    rows = self._rows(columns)
                bodies.append(_encode(_Predictions(rows[start:end])))
            elif form == Form.TENSORS:
                bodies.append(encode_outputs(self.names, [array[start:end] for array in arrays]))
            else:
                bodies.append(self._other(form, columns, start, end))
            start = end
        return bodies

    def _rows(self, columns: list[list[Any]]) -> list[Any]:
        if len(columns) == 1:
            return columns[0]
        row = self._row
        return [row(*values) for values in zip(*columns, strict=True)]

    def _other(self, form: int, columns: list[list[Any]], start: int, end: int) -> bytes:
        parts = {name: column[start:end] for name, column in zip(self.names, columns, strict=True)}
        if form == Form.COLUMN:
            return _encode({"outputs": next(iter(parts.values())) if len(parts) == 1 else parts})
        results = _classes(parts) if form == Form.CLASSIFY else _values(parts)
        return _encode({"results": results, "result": results})


def _classes(parts: dict[str, list[Any]]) -> list[list[list[Any]]]:
    """`[label, score]` pairs, a list a row. A head without labels or without scores leaves "" or 0 there."""
    scores = parts.get("scores")
    labels = parts.get("classes")
    if labels is None:
        return [[["", score] for score in row] for row in scores or []]
    if scores is None:
        return [[[label, 0.0] for label in row] for row in labels]
    return [[list(pair) for pair in zip(row, values, strict=True)] for row, values in zip(labels, scores, strict=True)]


def _values(parts: dict[str, list[Any]]) -> list[Any]:
    values = parts.get("outputs", next(iter(parts.values())))
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def _plain(name: str, array: NDArray[Any]) -> list[Any]:
    """An array as lists for the JSON encoder."""
    kind = array.dtype.kind
    if kind == "V":  # bfloat16, which numpy itself does not know
        return array.astype(np.float64).tolist()  # type: ignore[no-any-return]
    if kind not in "OSU":
        return array.tolist()  # type: ignore[no-any-return]
    if name.endswith("_bytes"):
        return nested([_b64(value) for value in array.ravel().tolist()], array.shape)
    try:
        if array.ndim == 2 and len(array) == 1:
            return [[value.decode() for value in array.tolist()[0]]]
        values: list[Any] = list(map(bytes.decode, array.ravel().tolist()))
    except UnicodeDecodeError:
        values = [_text(value) for value in array.ravel().tolist()]
    return nested(values, array.shape)


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _b64(value)


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}
