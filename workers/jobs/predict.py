"""The job type `predict`: a checkpoint's predictions for a data set, written as JSONL and Parquet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.jobs.spec import PredictSpec
from workers.attempt.attempt import RunningAttempt
from workers.data.dataset_inputs import Inputs
from workers.jobs.checkpoint_source import open_source, open_table
from workers.jobs.make_estimator import make_estimator
from workers.jobs.prediction_files import JSONL, PARQUET, PredictionFiles
from workers.jobs.stop_hook import StopHook


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
    files, complete = PredictionFiles(directory), False
    try:
        for number, batch in enumerate(batches):
            attempt.check()
            files.add(batch)
            attempt.progress.update(step=number + 1, rows=files.rows)
        complete = True
    finally:
        files.close(complete=complete)
    return files.rows
