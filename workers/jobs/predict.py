"""The job type `predict`: a trained state over a data set, written as JSONL and Parquet."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.datasets.table import open_dataset
from workers.attempt.attempt import Attempt
from workers.jobs import model as build
from workers.jobs.evaluate import StopHook
from workers.jobs.source import open_trained

JSONL, PARQUET = "predictions.jsonl", "predictions.parquet"


def run(attempt: Attempt) -> None:
    """Writes both files beside the attempt first; they take their place when they are whole."""
    spec, storage = attempt.spec, attempt.storage
    data = spec["data"]["predict"]
    trained = open_trained(attempt)
    table = open_dataset(storage.path(storage.dataset_key(data["dataset"])))
    attempt.mark("data_opened")
    inputs = build.Inputs(table, trained.spec, {"part": "all"}, attempt.scratch, labelled=False)
    estimator = build.make_estimator(trained.spec, attempt.directory)
    attempt.control.tell(step=0, max_steps=math.ceil(inputs.count / data["batch_size"]))
    batches = estimator.predict(
        inputs.input_fn(data["batch_size"]),
        hooks=[StopHook(attempt.control)],
        checkpoint_path=str(trained.path),
        yield_single_examples=False,
    )
    place = attempt.directory / "predictions"
    place.mkdir(exist_ok=True)
    rows = _write(attempt, batches, place)
    attempt.check()
    key = storage.prediction_key(attempt.claim.job_id)
    # Nobody may put files in place whose attempt is over: ask once more.
    attempt.write(
        lambda session: attempt.attempts(session).heartbeat(attempt.claim.job_id, attempt.claim.attempt, 60.0)
    )
    storage.remove(key)
    storage.path(key).parent.mkdir(parents=True, exist_ok=True)
    place.rename(storage.path(key))
    files = {"jsonl": f"{key}/{JSONL}", "parquet": f"{key}/{PARQUET}"}
    attempt.succeed({"rows": rows, "files": files, "step": trained.step, "digest": storage.digest(key)})


def _write(attempt: Attempt, batches: Iterator[dict[str, Any]], place: Path) -> int:
    """Rows written, in the data set's order."""
    rows, writer = 0, None
    with (place / JSONL).open("w") as lines:
        try:
            for number, batch in enumerate(batches):
                attempt.check()
                columns = {_key(name): plain(values) for name, values in batch.items()}
                count = len(next(iter(columns.values())))
                for row in range(count):
                    lines.write(json.dumps({name: column[row] for name, column in columns.items()}) + "\n")
                table = pa.table(columns) if writer is None else pa.table(columns, schema=writer.schema)
                writer = writer or pq.ParquetWriter(place / PARQUET, table.schema)
                writer.write_table(table)
                rows += count
                attempt.control.tell(step=number + 1, rows=rows)
        finally:
            if writer is not None:
                writer.close()
        lines.flush()
        os.fsync(lines.fileno())
    return rows


def _key(name: Any) -> str:
    """A prediction's name; with several heads it is (head, name)."""
    return "/".join(name) if isinstance(name, tuple) else str(name)


def plain(values: Any) -> list[Any]:
    """A batch of predictions as JSON values: bytes as text (or {"b64": …}), a vector of one number as that number,
    what is not finite as null."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return [_json(value) for value in array.tolist()]


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
