"""Evaluations: those of a training job, and the job type `evaluate`."""

from __future__ import annotations

import math
import numbers
from typing import Any

from app.jobs.spec import EvaluateSpec
from workers.attempt.attempt import RunningAttempt
from workers.attempt.progress import ProgressBuffer
from workers.data.dataset_inputs import Inputs
from workers.jobs.checkpoint_source import open_source, open_table
from workers.jobs.evaluation_report import make_report
from workers.jobs.make_estimator import make_estimator
from workers.jobs.stop_hook import StopHook


def evaluate(
    attempt: RunningAttempt,
    estimator: Any,
    input_fn: Any,
    *,
    name: str,
    steps: int | None = None,
    checkpoint_path: str | None = None,
    progress: ProgressBuffer | None = None,
) -> dict[str, float | None]:
    """Metrics by name, without the global step; null where one is not finite.

    Args:
        progress: told the batches that were done, where the evaluation is all that the attempt does.

    Raises:
        Stopped: the attempt is to end.
    """
    attempt.check()
    hook = StopHook(attempt.stop_signal, progress)
    measured = estimator.evaluate(input_fn, steps=steps, hooks=[hook], checkpoint_path=checkpoint_path, name=name)
    attempt.check()
    found: dict[str, float | None] = {}
    for key, value in measured.items():
        if key != "global_step" and isinstance(value, numbers.Real):
            found[key] = float(value) if math.isfinite(value) else None
    return found


def run(attempt: RunningAttempt, spec: EvaluateSpec) -> None:
    """The job type `evaluate`: a checkpoint on a data set, recorded under the job's name for it."""
    data = spec.data.eval
    source = open_source(attempt, spec)
    table = open_table(attempt, data.dataset)
    attempt.mark("data_opened")
    missing = spec.train_spec.data.train.missing
    inputs = Inputs(table, source.spec, attempt.spill_directory, part=data.part, labels=data.labels, missing=missing)
    estimator = make_estimator(source.spec, attempt.directory)
    rows = inputs.count if spec.steps is None else min(inputs.count, spec.steps * data.batch_size)
    batches = math.ceil(rows / data.batch_size)
    attempt.progress.update(step=0, max_steps=batches)
    metrics = evaluate(
        attempt,
        estimator,
        inputs.input_fn(data.batch_size),
        name=spec.name,
        steps=spec.steps,
        checkpoint_path=str(source.path),
        progress=attempt.progress,
    )
    attempt.progress.update(step=batches)
    made = make_report(attempt, estimator, inputs, checkpoint_path=str(source.path), rows=rows)
    evaluation = attempt.record_evaluation(
        train_job_id=source.job,
        step=source.step,
        metrics=metrics,
        name=spec.name,
        dataset_id=data.dataset,
        dataset_digest=data.digest,
        split=data.part,
        rows=rows,
        report=made,
    )
    attempt.succeed({"evaluation": evaluation, "metrics": metrics, "step": source.step})
