"""Rows and columns as the arrays that go by gRPC, and back.

A value means there what it means in JSON: None and NaN are missing. gRPC has no null: a column is in a call with all
its values, or it is left out.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from estimator_client.errors import Json
from estimator_client.frames import columns_of


def calls_of_rows(rows: Sequence[Any]) -> Iterator[Json]:
    """Arrays by feature, the batch first, of rows as `frames.rows_of` gives them, in their order. Rows that follow one
    another go in one call, as long as the same features are missing in them.

    Raises ValueError, also for rows that have no names.
    """
    if not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("By gRPC a row is a mapping of features to values.")
    for names, group in groupby(rows, lambda row: [name for name in row if row[name] is not None]):
        alike = list(group)
        yield tensors_of_columns({name: [row[name] for row in alike] for name in names})


def tensors_of_columns(columns: Mapping[str, Any]) -> Json:
    """Arrays by feature, the batch first; beside lists of different lengths their lengths, as `NAME_length`."""
    found: Json = {}
    for name, values in columns.items():
        found |= _tensors(name, values)
    return found


def rows_of_outputs(outputs: Json) -> list[Any]:
    """Predictions as JSON has them: a mapping for each row, or its value where there is one output. Bytes are
    `{"b64": …}`, and so is all of an output whose name ends with `_bytes`."""
    columns = {name: _listed(array, name.endswith("_bytes")) for name, array in outputs.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _tensors(name: str, values: Any) -> Json:
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, bool)
        if not missing.any():
            return {name: values}
        if missing.all():
            return {}
        raise _missing(name)
    rows = columns_of({name: values})[name]
    if all(row is None for row in rows):
        return {}
    lengths = {len(row) for row in rows if isinstance(row, list)}
    if len(lengths) > 1 and all(isinstance(row, list) for row in rows):
        counts = np.array([len(row) for row in rows], np.int64)
        like = _empty_like(next(row[0] for row in rows if row))
        padded = [row + [like] * (max(lengths) - len(row)) for row in rows]
        return {name: _array(name, padded), f"{name}_length": counts}
    return {name: _array(name, rows)}


def _array(name: str, rows: list[Any]) -> Any:
    """Numbers in the narrowest of bool, int64 and float64 that holds all; texts and bytes as objects."""
    import numpy as np

    array = np.array(rows, object)
    kinds = {type(value) for value in array.ravel().tolist()}
    if type(None) in kinds:
        raise _missing(name)
    if not kinds:
        raise ValueError(
            f"The column {name} is empty in every row, so that its dtype is not known. Predict it by HTTP."
        )
    if kinds <= {str, dict}:
        array.ravel()[:] = [_bytes(value) for value in array.ravel().tolist()]
        return array
    for dtype, held in (("bool", {bool}), ("int64", {int}), ("float64", {int, float})):
        if kinds <= held:
            return array.astype(dtype)
    told = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(f"The column {name} has values of different kinds or shapes ({told}), which are no tensor.")


def _empty_like(value: Any) -> Any:
    if isinstance(value, list):
        return [_empty_like(one) for one in value]
    return "" if isinstance(value, str | Mapping) else 0


def _bytes(value: Any) -> bytes:
    return b64decode(value["b64"]) if isinstance(value, Mapping) else str(value).encode()


def _missing(name: str) -> ValueError:
    return ValueError(
        f"The column {name} has a missing value in some of the rows, which gRPC cannot say. Give rows, as of "
        "`predict`, or ask by HTTP: a client without `grpc`."
    )


def _listed(value: Any, is_bytes: bool) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist() if value.dtype.kind != "O" else _listed(value.tolist(), is_bytes)
    if isinstance(value, list):
        return [_listed(one, is_bytes) for one in value]
    if isinstance(value, str) and not is_bytes:
        return value
    return {"b64": b64encode(value.encode() if isinstance(value, str) else value).decode()}
