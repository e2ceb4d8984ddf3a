"""The part of a training job that the members of a gang do beside their chief: they train the same steps, each with its
share of the rows, and leave checkpoints, evaluations and the export to it."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

import tf_estimator as est
from app.jobs.spec import TrainSpec
from app.registry.evaluations import EvaluationRepository
from workers.attempt.attempt import RunningAttempt
from workers.jobs.checkpoint_source import stored_statistics
from workers.jobs.train import EVALUATION, TrainingJob

_LOOK_S = 0.1
_LOOK_IN_STORE_S = 0.5  # each look is a request


def run(attempt: RunningAttempt, spec: TrainSpec) -> None:
    """Trains until the chief ends the training."""
    FollowingJob(attempt, spec).run()


class _LastStep(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """The global step at which a run ended."""

    step = 0

    def end(self, session: Any) -> None:
        self.step = int(session.run(tf.compat.v1.train.get_global_step()))


class FollowingJob(TrainingJob):
    """Waits for what the chief decides: statistics of the training rows, and metrics that may stop the training."""

    def run(self) -> None:
        self._train_in_stretches()

    def _resolved(self, stored: TrainSpec) -> TrainSpec:
        attempt = self._attempt
        while (known := stored_statistics(attempt, stored, attempt.key)) is None:
            attempt.check()
            time.sleep(_LOOK_IN_STORE_S if attempt.storage.remote else _LOOK_S)
        return known

    def _train(self, until: int) -> bool:
        last = _LastStep()
        with self._attempt.trace.span("train", from_step=self._step, to_step=until):
            self._estimator.train(self._input_fn, hooks=[last, est.hooks.KeepInputPosition()], max_steps=until)
        self._step = last.step
        self._attempt.check()
        return self._step >= until

    def _evaluate(self) -> None:
        job_id = self._attempt.claim.job_id
        while True:
            rows = self._attempt.read(lambda session: EvaluationRepository(session).for_job(job_id))
            for row in rows:
                if (row.job_id, row.name, row.step) == (job_id, EVALUATION, self._step):
                    self._measured[self._step] = row.metrics
                    return
            self._attempt.check()
            time.sleep(_LOOK_S)
