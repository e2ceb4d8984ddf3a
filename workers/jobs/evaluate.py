"""Measuring a trained state: the evaluations of a training job, and the job type `evaluate`."""

from __future__ import annotations

import math
import numbers
from typing import Any

import tensorflow as tf

from app.datasets.table import open_dataset
from workers.attempt.attempt import Attempt
from workers.attempt.stop import Control
from workers.jobs import model as build
from workers.jobs.source import open_trained

_LOOK_EVERY_STEPS = 50


class StopHook(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """Stops a loop when the attempt is to end."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def next_step(self, step: int) -> int:
        return step + (_LOOK_EVERY_STEPS if self._control.reason is None else 1)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if self._control.reason is not None:
            run_context.request_stop()


def evaluate(
    attempt: Attempt,
    estimator: Any,
    input_fn: Any,
    *,
    name: str,
    steps: int | None = None,
    checkpoint_path: str | None = None,
) -> dict[str, float | None]:
    """Metrics by name, without the global step; null where one is not finite.

    Raises:
        Stopped: the attempt is to end.
    """
    attempt.check()
    measured = estimator.evaluate(
        input_fn, steps=steps, hooks=[StopHook(attempt.control)], checkpoint_path=checkpoint_path, name=name
    )
    attempt.check()
    found: dict[str, float | None] = {}
    for key, value in measured.items():
        if key != "global_step" and isinstance(value, numbers.Real):
            found[key] = float(value) if math.isfinite(value) else None
    return found


def run(attempt: Attempt) -> None:
    """The job type `evaluate`: a trained state on a data set, recorded under the job's name for it."""
    spec, storage = attempt.spec, attempt.storage
    data = spec["data"]["eval"]
    trained = open_trained(attempt)
    table = open_dataset(storage.path(storage.dataset_key(data["dataset"])))
    attempt.mark("data_opened")
    missing = spec["train_spec"]["data"]["train"]["missing"]
    inputs = build.Inputs(table, trained.spec, data, attempt.scratch, missing=missing)
    estimator = build.make_estimator(trained.spec, attempt.directory)
    attempt.control.tell(step=0, max_steps=math.ceil(inputs.count / data["batch_size"]))
    metrics = evaluate(
        attempt,
        estimator,
        inputs.input_fn(data["batch_size"]),
        name=spec["name"],
        steps=spec["steps"],
        checkpoint_path=str(trained.path),
    )
    row = attempt.record_evaluation(
        train_job_id=trained.job,
        step=trained.step,
        metrics=metrics,
        name=spec["name"],
        dataset_id=data["dataset"],
        dataset_digest=data["digest"],
        split=data["part"],
        rows=inputs.count if spec["steps"] is None else min(inputs.count, spec["steps"] * data["batch_size"]),
    )
    attempt.succeed({"evaluation": row.id, "metrics": metrics, "step": trained.step})
