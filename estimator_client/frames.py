"""Rows in and out: lists, NumPy arrays, and DataFrames of pandas or polars, none of which has to be installed."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from estimator_client.errors import Json


def is_frame(data: Any) -> bool:
    """Whether it is a DataFrame of pandas or polars."""
    return _library(data) is not None


def rows_of(data: Any) -> list[Any]:
    """Instances of a DataFrame, of a mapping of columns to arrays, or of an iterable of rows; missing values are None.

    Raises ValueError when the columns of a mapping have different lengths.
    """
    library = _library(data)
    if library == "polars":
        return [{name: _plain(value) for name, value in row.items()} for row in data.to_dicts()]
    if library == "pandas":
        columns = {str(name): [_plain(value) for value in data[name].tolist()] for name in data.columns}
        return _rows(columns)
    if isinstance(data, Mapping):
        return _rows({str(name): _plain(_listed(values)) for name, values in data.items()})
    return [_plain(row) for row in data]


def columns_of(data: Mapping[str, Any]) -> Json:
    """Columns as JSON: arrays become lists."""
    return {name: _plain(_listed(values)) for name, values in data.items()}


def frame_like(data: Any, rows: Sequence[Any]) -> Any:
    """Predictions as a DataFrame of the same library as `data`, with its index where it has one. Columns as of
    `single_values`.
    """
    columns = single_values(rows)
    library = sys.modules[str(_library(data))]
    if _library(data) == "polars":
        return library.DataFrame(columns)
    return library.DataFrame(columns, index=data.index)


def single_values(predictions: Iterable[Any]) -> dict[str, list[Any]]:
    """Predictions as columns. A column that has one value for each row has these values, not lists of one value.

    A prediction that is no mapping is the column `prediction`. An output that a row does not have is None there.
    """
    records = [row if isinstance(row, Mapping) else {"prediction": row} for row in predictions]
    names = dict.fromkeys(name for record in records for name in record)
    return {name: _unwrapped([record.get(name) for record in records]) for name in names}


def _unwrapped(values: list[Any]) -> list[Any]:
    while values and all(isinstance(value, list) and len(value) == 1 for value in values):
        values = [value[0] for value in values]
    return values


def as_file(data: Any) -> tuple[bytes, str]:
    """A DataFrame as a file to upload, and the ending of its name: Parquet, or JSON lines without pyarrow.

    A mapping of columns to arrays or lists is JSON lines.
    """
    file = io.BytesIO()
    if _library(data) is None:
        return "".join(json.dumps(row) + "\n" for row in rows_of(data)).encode(), ".jsonl"
    if _library(data) == "polars":
        data.write_parquet(file)
        return file.getvalue(), ".parquet"
    try:
        data.to_parquet(file, index=False)
    except ImportError:
        return data.to_json(orient="records", lines=True).encode(), ".jsonl"
    return file.getvalue(), ".parquet"


def batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The rows in lists of at most `size`."""
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _library(data: Any) -> str | None:
    name = type(data).__module__.partition(".")[0]
    return name if name in ("pandas", "polars") and type(data).__name__ == "DataFrame" else None


def _listed(values: Any) -> Any:
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _rows(columns: dict[str, list[Any]]) -> list[Any]:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"The columns have different numbers of rows: {sorted(lengths)}.")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    """A value as JSON has it: arrays are lists, what is missing is null, dates are ISO 8601, bytes are base 64."""
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, bytes):
        from base64 import b64encode

        return {"b64": b64encode(value).decode()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def arrays(outputs: Any) -> Any:
    """Outputs by columns as NumPy arrays, or as they are where NumPy is not installed."""
    try:
        import numpy as np
    except ImportError:
        return outputs
    if isinstance(outputs, Mapping):
        return {name: np.asarray(values) for name, values in outputs.items()}
    return np.asarray(outputs)
