"""What a specification leaves to the training rows: means for missing values, and mean and standard deviation for
`"zscore"`. Found once per job, written beside its checkpoints, and used wherever these are."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.table import NumberColumn, SequenceColumn, Table
from app.jobs.feature_columns import map_columns
from workers.data.chunks import Rows, Scratch, arrays, pieces
from workers.data.features import dropped_columns, select_rows

FILE = "features.json"
_CHUNK = 1 << 20

Json = dict[str, Any]


def resolve(spec: Json, table: Table, scratch: Scratch) -> Json:
    """A copy of a training specification in which every mean and normalizer has its value, over the training rows of
    `table`, the training data set."""
    spec = copy.deepcopy(spec)
    train = spec["data"]["train"]
    dropped = dropped_columns(spec["features"], spec["labels"], spec["weight"], train["missing"])
    rows = select_rows(table, spec["data"]["holdout"], train["part"], dropped, scratch)
    known: dict[str, tuple[float, float]] = {}

    def moments(name: str) -> tuple[float, float]:
        if name not in known:
            known[name] = mean_and_stddev(table.column(name), rows)
        return known[name]

    for feature in spec["features"]:
        missing = feature["missing"]
        if missing["policy"] == "mean" and missing["value"] is None:
            mean = moments(feature["name"])[0]
            missing["value"] = round(mean) if feature["dtype"] == "int64" else mean

    def normalized(column: Json) -> Json:
        if column.get("normalizer") == "zscore":
            mean, stddev = moments(column["key"])
            column["normalizer"] = {"mean": mean, "stddev": stddev or 1.0}
        return column

    spec["estimator"]["args"] = map_columns(spec["estimator"]["args"], normalized)
    return spec


def mean_and_stddev(column: Any, rows: Rows) -> tuple[float, float]:
    """Mean and (population) standard deviation of a number column's cells that are not null; of a sequence's elements.
    (0, 0) when there are none."""
    count, mean, squares = 0, 0.0, 0.0
    for values in _chunks(column, rows):
        if not len(values):
            continue
        # Chan, Golub and LeVeque (1979): moments of two sets joined without a second pass.
        part, part_mean = len(values), float(values.mean())
        delta = part_mean - mean
        squares += float(((values - part_mean) ** 2).sum()) + delta * delta * count * part / (count + part)
        mean += delta * part / (count + part)
        count += part
    return mean, math.sqrt(squares / count) if count else 0.0


def _chunks(column: Any, rows: Rows) -> Any:
    """float64 pieces of bounded size."""
    total = len(column.row_splits) - 1 if isinstance(column, SequenceColumn) else len(column.values)
    for some in pieces(total, rows, arrays(column), _CHUNK):
        if isinstance(column, SequenceColumn):
            index = np.arange(some.start, some.stop) if isinstance(some, slice) else some
            yield np.asarray(column.take(index)[0], np.float64).reshape(-1)
        else:
            yield _present(column, some)


def _present(column: NumberColumn, some: Any) -> Any:
    values = np.asarray(column.values[some], np.float64)
    return (values if column.nulls is None else values[column.nulls[some] == 0]).reshape(-1)


def write(spec: Json, directory: Path) -> None:
    """Keeps a resolved specification beside its checkpoints, whole or not at all."""
    temporary = directory / f".{FILE}"
    with temporary.open("w") as file:
        json.dump({"features": spec["features"], "args": spec["estimator"]["args"]}, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / FILE)


def read(spec: Json, directory: Path) -> Json | None:
    """The specification as `write` kept it in a checkpoint's directory; None when it is not there."""
    try:
        kept = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return None
    spec = copy.deepcopy(spec)
    spec["features"] = kept["features"]
    spec["estimator"]["args"] = kept["args"]
    return spec
