"""Statistics of the training rows that a specification leaves open: means for missing values, mean and standard
deviation for `"zscore"`. Computed once per job, written beside its checkpoints, and used wherever these are."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from app.datasets.table import NumberColumn, SequenceColumn, Table
from app.jobs.feature_columns import map_columns
from app.jobs.spec import Feature, JsonObject, Missing, TrainSpec, decode_features, encode_features
from workers.data.chunks import ArraySpill, Rows, arrays, chunks
from workers.data.features import dropped_columns, select_rows

FILE = "features.json"
_CHUNK_ROWS = 1 << 20


def resolve(spec: TrainSpec, table: Table, spill: ArraySpill) -> TrainSpec:
    """A copy of a training specification in which every mean and normalizer has its value, over the training rows of
    `table`, the training data set."""
    train = spec.data.train
    dropped = dropped_columns(spec.features, spec.labels, spec.weight, train.missing)
    rows = select_rows(table, spec.data.holdout, train.part, dropped, spill)
    known: dict[str, tuple[float, float]] = {}

    def moments(name: str) -> tuple[float, float]:
        if name not in known:
            known[name] = mean_and_stddev(table.column(name), rows)
        return known[name]

    def with_mean(feature: Feature) -> Feature:
        if feature.missing.policy != "mean" or feature.missing.value is not None:
            return feature
        mean = moments(feature.name)[0]
        missing = Missing(policy="mean", value=round(mean) if feature.dtype == "int64" else mean)
        return feature.model_copy(update={"missing": missing})

    def normalized(column: JsonObject) -> JsonObject:
        if column.get("normalizer") == "zscore":
            mean, stddev = moments(column["key"])
            column["normalizer"] = {"mean": mean, "stddev": stddev or 1.0}
        return column

    return spec.with_statistics(
        [with_mean(feature) for feature in spec.features], map_columns(spec.estimator.args, normalized)
    )


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
    """The column's values as float64 arrays of bounded size."""
    total = len(column.row_splits) - 1 if isinstance(column, SequenceColumn) else len(column.values)
    for chunk in chunks(total, rows, arrays(column), _CHUNK_ROWS):
        if isinstance(column, SequenceColumn):
            index = np.arange(chunk.start, chunk.stop) if isinstance(chunk, slice) else chunk
            yield np.asarray(column.take(index)[0], np.float64).reshape(-1)
        else:
            yield _present(column, chunk)


def _present(column: NumberColumn, chunk: Any) -> Any:
    values = np.asarray(column.values[chunk], np.float64)
    return (values if column.nulls is None else values[column.nulls[chunk] == 0]).reshape(-1)


def write(spec: TrainSpec, directory: Path) -> None:
    """Stores a resolved specification's statistics beside its checkpoints, whole or not at all."""
    temporary = directory / f".{FILE}"
    content = {"features": encode_features(spec.features), "args": spec.estimator.args}
    with temporary.open("w") as file:
        json.dump(content, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / FILE)


def read(spec: TrainSpec, directory: Path) -> TrainSpec | None:
    """The specification with the statistics that `write` stored in a checkpoint's directory; None without them."""
    try:
        content = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return None
    return spec.with_statistics(decode_features(content["features"]), content["args"])
