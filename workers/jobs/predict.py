"""The job type `predict`: a checkpoint's predictions for a data set, written as JSONL and Parquet."""

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

from app.jobs.spec import PredictSpec
from workers.attempt.attempt import RunningAttempt
from workers.data.dataset_inputs import Inputs
from workers.jobs.checkpoint_source import open_source, open_table
from workers.jobs.make_estimator import make_estimator
from workers.jobs.stop_hook import StopHook

JSONL, PARQUET = "predictions.jsonl", "predictions.parquet"


def run(attempt: RunningAttempt, spec: PredictSpec) -> None:
    """Writes both files into the attempt's directory first, and moves them when they are complete."""
    storage, data = attempt.storage, spec.data.predict
    source = open_source(attempt, spec)
    table = open_table(attempt, data.dataset)
    attempt.mark("data_opened")
    inputs = Inputs(table, source.spec, attempt.spill_directory, labelled=False)
    estimator = make_estimator(source.spec, attempt.directory)
    attempt.progress.update(step=0, max_steps=math.ceil(inputs.count / data.batch_size))
    batches = estimator.predict(
        inputs.input_fn(data.batch_size),
        hooks=[StopHook(attempt.stop_signal)],
        checkpoint_path=str(source.path),
        yield_single_examples=False,
    )
    directory = attempt.directory / "predictions"
    directory.mkdir(exist_ok=True)
    rows = _write(attempt, batches, directory)
    attempt.check()
    key = storage.prediction_key(attempt.claim.job_id)
    # An attempt that is over must not publish files: check once more.
    claim = attempt.claim
    attempt.write(lambda session: attempt.attempts(session).heartbeat(claim.job_id, claim.attempt, 60.0))
    attempt.patiently(lambda: storage.remove(key))
    storage.path(key).parent.mkdir(parents=True, exist_ok=True)
    directory.rename(storage.path(key))
    digest = storage.digest(key)
    attempt.publish(key)
    files = {"jsonl": f"{key}/{JSONL}", "parquet": f"{key}/{PARQUET}"}
    attempt.succeed({"rows": rows, "files": files, "step": source.step, "digest": digest})


def _write(attempt: RunningAttempt, batches: Iterator[dict[str, Any]], directory: Path) -> int:
    """Rows written, in the data set's order."""
    rows, writer = 0, None
    with (directory / JSONL).open("w") as lines:
        try:
            for number, batch in enumerate(batches):
                attempt.check()
                columns = {_key(name): plain(values) for name, values in batch.items()}
                count = len(next(iter(columns.values())))
                for row in range(count):
                    lines.write(json.dumps({name: column[row] for name, column in columns.items()}) + "\n")
                table = pa.table(columns) if writer is None else pa.table(columns, schema=writer.schema)
                writer = writer or pq.ParquetWriter(directory / PARQUET, table.schema)
                writer.write_table(table)
                rows += count
                attempt.progress.update(step=number + 1, rows=rows)
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
