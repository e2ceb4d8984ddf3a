"""The job type `train`: from the newest recorded checkpoint, in stretches between evaluations, to the last step."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import tf_estimator as est
from app.errors import NotFound
from app.jobs.spec import EvalData, JsonObject, TrainSpec
from app.registry.checkpoints import CheckpointRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.tables import Checkpoint
from workers.attempt.attempt import Keep, RunningAttempt
from workers.attempt.attempt_files import adopt_checkpoint
from workers.attempt.hooks import CheckpointListener, progress_hook
from workers.data import statistics
from workers.data.chunks import ArraySpill
from workers.data.dataset_inputs import Inputs
from workers.jobs import job_devices
from workers.jobs.checkpoint_source import open_table, stored_statistics
from workers.jobs.evaluate import evaluate
from workers.jobs.evaluation_report import make_report
from workers.jobs.export import Candidate, publish
from workers.jobs.make_estimator import make_estimator

log = logging.getLogger(__name__)

EVALUATION = "eval"
"""Name of a training job's own evaluations."""


def run(attempt: RunningAttempt, spec: TrainSpec) -> None:
    """Trains, evaluates, exports, and ends the job as succeeded; where other workers take part, their chief does."""
    TrainingJob(attempt, spec).run()


class TrainingJob:
    """One attempt at a training job.

    Args:
        stored: the job's specification; `self._spec` is the same with the statistics of the training rows.
    """

    def __init__(self, attempt: RunningAttempt, stored: TrainSpec) -> None:
        self._attempt = attempt
        distribution = job_devices.make_strategy(stored.resources, attempt.claim.gang)
        if attempt.claim.gang is not None:
            attempt.started()
        self._options = stored.train
        hours = self._options.keep_checkpoint_every_n_hours
        self._keep = Keep(self._options.keep_checkpoint_max, None if hours is None else hours * 3600)
        data = stored.data.train
        self._table = open_table(attempt, data.dataset)
        attempt.mark("data_opened")
        self._spec = self._resolved(stored)
        self._inputs = Inputs(self._table, self._spec, attempt.spill_directory, part=data.part, missing=data.missing)
        self._batch = data.batch_size
        self._goal = self._last_step(data.epochs)
        self._step, self._resumed = self._resume()
        self._estimator = make_estimator(
            self._spec, attempt.directory, warm_start=self._warm_start(), strategy=distribution
        )
        rows = self._batch // stored.resources.replicas
        self._input_fn = self._inputs.input_fn(rows, epochs=None, shuffle=data.shuffle, seed=self._options.seed)
        attempt.mark("estimator_built")
        self._evaluated: Inputs | None = None
        self._eval_input: Any = None
        self._measured = self._known_evaluations()

    def run(self) -> None:
        self._attempt.progress.update(
            step=self._step, started_from_step=self._step, max_steps=self._goal, resumed_from_step=self._resumed
        )
        stopped_early = self._train_in_stretches()
        self._attempt.mark("trained")
        if self._spec.data.eval is not None and self._step not in self._measured:
            self._evaluate()
        result: JsonObject = {"step": self._step, "stopped_early": stopped_early, "resumed_from_step": self._resumed}
        if self._step in self._measured:
            result["metrics"] = self._measured[self._step]
        self._publish(result)

    def _train_in_stretches(self) -> bool:
        """Trains to the last step, with evaluations on the way. True when it stopped early for want of progress."""
        while True:
            if self._evaluation_due(self._step):
                self._evaluate()
            stopped_early = self._out_of_patience()
            if self._step >= self._goal or stopped_early:
                return stopped_early
            if not self._train(self._stretch_end()):
                return False

    def _resolved(self, stored: TrainSpec) -> TrainSpec:
        """The specification with the statistics of the training rows: those of the first attempt, if there was one."""
        attempt = self._attempt
        known = self._first_statistics(stored)
        if known is None:
            known = statistics.resolve(stored, self._table, ArraySpill(attempt.spill_directory / "statistics"))
        statistics.write(known, attempt.directory)
        attempt.publish(f"{attempt.key}/{statistics.FILE}")
        return known

    def _first_statistics(self, stored: TrainSpec) -> TrainSpec | None:
        resume = self._attempt.claim.resume
        return None if resume is None else stored_statistics(self._attempt, stored, resume.path.rpartition("/")[0])

    def _last_step(self, epochs: int | None) -> int:
        steps = [] if epochs is None else [math.ceil(self._inputs.count * epochs / self._batch)]
        return min(steps + ([self._options.max_steps] if self._options.max_steps else []))

    def _resume(self) -> tuple[int, int | None]:
        """Adopts the newest recorded checkpoint whose files are there."""
        claim = self._attempt.claim
        if claim.resume is None:
            return 0, None
        rows = self._attempt.read(lambda session: CheckpointRepository(session).list(claim.job_id))
        for row in reversed(rows):
            try:
                adopt_checkpoint(self._attempt.fetch(row.path), self._attempt.directory, row.bytes)
            except (FileNotFoundError, NotFound):
                log.warning("The checkpoint at step %d is gone or damaged; an older one is used.", row.step)
                continue
            log.info("Resuming from step %d of attempt %d.", row.step, row.attempt)
            return row.step, row.step
        log.warning("No checkpoint of an earlier attempt is left; training starts from the beginning.")
        return 0, None

    def _warm_start(self) -> Path | None:
        source = self._spec.warm_start_from
        if source is None or self._resumed is not None:
            return None
        row = self._attempt.read(lambda session: CheckpointRepository(session).get(source.checkpoint))
        return self._attempt.fetch(row.path)

    def _known_evaluations(self) -> dict[int, JsonObject]:
        """Step to metrics, of earlier attempts up to the step that this one starts from."""
        if self._resumed is None:
            return {}
        claim = self._attempt.claim
        rows = self._attempt.read(lambda session: EvaluationRepository(session).for_job(claim.job_id))
        own = [row for row in rows if row.job_id == claim.job_id and row.name == EVALUATION]
        return {row.step: row.metrics for row in own if row.step <= self._step}

    def _stretch_end(self) -> int:
        every = self._options.evaluate_every_steps
        return self._goal if every is None else min(self._goal, (self._step // every + 1) * every)

    def _evaluation_due(self, step: int) -> bool:
        every = self._options.evaluate_every_steps
        due = every is not None and step > 0 and (step % every == 0 or step == self._goal)
        return due and step not in self._measured

    def _train(self, until: int) -> bool:
        """Trains up to a step; False when the input ended before."""
        attempt = self._attempt
        attempt.check()
        hook = progress_hook(
            attempt.stop_signal,
            attempt.progress,
            self._goal,
            self._step,
            on_first_step=lambda at: attempt.mark("first_step", at),
        )
        listener = CheckpointListener(self._record, self._step)
        # A job is trained in stretches, with evaluations between them, and may be stopped: all of it is one pass.
        hooks = [hook, est.hooks.KeepInputPosition()]
        with attempt.trace.span("train", from_step=self._step, to_step=until):
            self._estimator.train(self._input_fn, hooks=hooks, max_steps=until, saving_listeners=[listener])
        self._step = listener.step  # the hook was not called at the steps between its points
        attempt.progress.update(step=self._step)
        attempt.check()
        if attempt.claim.gang is not None and self._step < until:
            raise est.LostWorkerError("Training stopped because another worker of the job did.")
        return self._step >= until

    def _record(self, step: int) -> bool:
        with self._attempt.trace.span("checkpoint", step=step):
            self._attempt.record_checkpoint(step, self._keep, self._best_steps())
        return True

    def _evaluate(self) -> None:
        data = self._spec.data.eval
        assert data is not None
        inputs = self._evaluation_inputs(data)
        with self._attempt.trace.span("evaluate", step=self._step, rows=inputs.count):
            metrics = evaluate(self._attempt, self._estimator, self._eval_input, name=EVALUATION)
        self._measured[self._step] = metrics
        self._attempt.record_evaluation(
            self._keep,
            self._best_steps(),
            train_job_id=self._attempt.claim.job_id,
            step=self._step,
            metrics=metrics,
            name=EVALUATION,
            dataset_id=data.dataset,
            dataset_digest=data.digest,
            split=data.part,
            rows=inputs.count,
        )

    def _report(self, checkpoint: Checkpoint) -> None:
        """Adds a report to the evaluation of the checkpoint that the job ends with."""
        data, step = self._spec.data.eval, checkpoint.step
        if data is None or step not in self._measured:
            return
        attempt = self._attempt
        path = str(attempt.fetch(checkpoint.path))
        made = make_report(attempt, self._estimator, self._evaluation_inputs(data), checkpoint_path=path)
        attempt.record_report(step, EVALUATION, made)

    def _evaluation_inputs(self, data: EvalData) -> Inputs:
        """Made once; `_eval_input` with them."""
        if self._evaluated is None:
            train = self._spec.data.train
            self._evaluated = Inputs(
                self._table if data.dataset == train.dataset else open_table(self._attempt, data.dataset),
                self._spec,
                self._attempt.spill_directory / "eval",
                part=data.part,
                labels=data.labels,
                missing=train.missing,
            )
            self._eval_input = self._evaluated.input_fn(data.batch_size)
        return self._evaluated

    def _best(self, metric: str, mode: str) -> int | None:
        """The step with the best value so far, the earliest of equals."""
        values = {step: metrics.get(metric) for step, metrics in self._measured.items()}
        known = {step: value for step, value in values.items() if value is not None and math.isfinite(value)}
        if not known:
            return None
        sign = 1 if mode == "min" else -1
        return min(known, key=lambda step: (sign * known[step], step))

    def _best_steps(self) -> set[int]:
        """Steps whose checkpoints must outlive the newest ones: the best of those that were measured."""
        best = self._best(self._spec.best_metric.metric, self._spec.best_metric.mode)
        return set() if best is None else {best}

    def _out_of_patience(self) -> bool:
        stopping = self._options.early_stopping
        if stopping is None or self._step < stopping.min_steps:
            return False
        best = self._best(stopping.metric, stopping.mode)
        return best is not None and self._step - best >= stopping.patience_steps

    def _publish(self, result: JsonObject) -> None:
        spec, step = self._spec, self._step
        if spec.export == "best":
            step = self._best(spec.best_metric.metric, spec.best_metric.mode) or step
        job = self._attempt.claim.job_id
        if spec.export == "none" and step not in self._measured:
            self._attempt.succeed(result)
            return
        checkpoint = self._attempt.read(lambda session: CheckpointRepository(session).at_step(job, step))
        self._report(checkpoint)
        if spec.export == "none":
            self._attempt.succeed(result)
            return
        candidate = Candidate(
            estimator=self._estimator,
            spec=spec,
            table=self._table,
            checkpoint=checkpoint,
            promote=spec.promote,
            metrics=self._measured.get(step),
        )
        with self._attempt.trace.span("export", step=step):
            publish(self._attempt, candidate, result)
