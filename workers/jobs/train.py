"""A training job: from the newest checkpoint on record, in stretches between evaluations, to its last step."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import tf_estimator as est
from app.datasets.table import Table, open_dataset
from app.registry.checkpoints import CheckpointRepository
from app.registry.evaluations import EvaluationRepository
from workers.attempt.attempt import Attempt, Keep
from workers.attempt.files import adopt_checkpoint
from workers.attempt.hooks import CheckpointListener, ProgressHook
from workers.data import statistics
from workers.data.chunks import Scratch
from workers.jobs import export as publication
from workers.jobs import model as build
from workers.jobs.evaluate import evaluate

log = logging.getLogger(__name__)

Json = dict[str, Any]
EVALUATION = "eval"
"""Name of a training job's own evaluations."""


def run(attempt: Attempt) -> None:
    """Trains, evaluates, exports, and ends the job as succeeded."""
    Training(attempt).run()


class Training:
    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._plan = attempt.spec["train"]
        hours = self._plan["keep_checkpoint_every_n_hours"]
        self._keep = Keep(self._plan["keep_checkpoint_max"], None if hours is None else hours * 3600)
        train_data = attempt.spec["data"]["train"]
        self._table = self._open(train_data["dataset"])
        attempt.mark("data_opened")
        self._spec = self._resolved()
        scratch = attempt.scratch
        self._inputs = build.Inputs(self._table, self._spec, train_data, scratch, missing=train_data["missing"])
        self._batch: int = train_data["batch_size"]
        self._goal = self._last_step(train_data["epochs"])
        self._step, self._resumed = self._resume()
        self._estimator = build.make_estimator(self._spec, attempt.directory, warm_start=self._warm_start())
        self._input_fn = self._inputs.input_fn(
            self._batch, epochs=None, shuffle=train_data["shuffle"], seed=self._plan["seed"]
        )
        attempt.mark("estimator_built")
        self._eval_input: Any = None
        self._eval_rows: int | None = None
        self._measured = self._known_evaluations()

    def run(self) -> None:
        attempt = self._attempt
        attempt.control.tell(step=self._step, max_steps=self._goal, resumed_from_step=self._resumed)
        stopped_early = False
        while True:
            if self._evaluation_due(self._step):
                self._evaluate()
            stopped_early = self._out_of_patience()
            if self._step >= self._goal or stopped_early:
                break
            if not self._train(self._stretch_end()):
                break
        if attempt.spec["data"]["eval"] is not None and self._step not in self._measured:
            self._evaluate()
        result: Json = {"step": self._step, "stopped_early": stopped_early, "resumed_from_step": self._resumed}
        if self._step in self._measured:
            result["metrics"] = self._measured[self._step]
        self._publish(result)

    def _open(self, dataset: str) -> Table:
        storage = self._attempt.storage
        return open_dataset(storage.path(storage.dataset_key(dataset)))

    def _resolved(self) -> Json:
        """The specification with the statistics of the training rows: those of the first attempt, if there was one."""
        attempt, spec = self._attempt, self._attempt.spec
        resume = attempt.claim.resume
        known = statistics.read(spec, attempt.storage.path(resume.path).parent) if resume is not None else None
        if known is None:
            known = statistics.resolve(spec, self._table, Scratch(attempt.scratch / "statistics"))
        statistics.write(known, attempt.directory)
        return known

    def _last_step(self, epochs: int | None) -> int:
        steps = [] if epochs is None else [math.ceil(self._inputs.count * epochs / self._batch)]
        return int(min(steps + ([self._plan["max_steps"]] if self._plan["max_steps"] else [])))

    def _resume(self) -> tuple[int, int | None]:
        """Takes over the newest checkpoint on record whose files are there."""
        claim = self._attempt.claim
        if claim.resume is None:
            return 0, None
        rows = self._attempt.read(lambda session: CheckpointRepository(session).list(claim.job_id))
        for row in reversed(rows):
            try:
                adopt_checkpoint(self._attempt.storage.path(row.path), self._attempt.directory, row.bytes)
            except FileNotFoundError:
                log.warning("The checkpoint at step %d is gone or damaged; an older one is used.", row.step)
                continue
            log.info("Resuming from step %d of attempt %d.", row.step, row.attempt)
            return row.step, row.step
        log.warning("No checkpoint of an earlier attempt is left; training starts anew.")
        return 0, None

    def _warm_start(self) -> Path | None:
        source = self._attempt.spec["warm_start_from"]
        if source is None or self._resumed is not None:
            return None
        row = self._attempt.read(lambda session: CheckpointRepository(session).get(source["checkpoint"]))
        return self._attempt.storage.path(row.path)

    def _known_evaluations(self) -> dict[int, Json]:
        """Step to metrics, of earlier attempts up to the step that this one starts from."""
        claim = self._attempt.claim
        rows = self._attempt.read(lambda session: EvaluationRepository(session).for_job(claim.job_id))
        own = [row for row in rows if row.job_id == claim.job_id and row.name == EVALUATION]
        return {row.step: row.metrics for row in own if row.step <= self._step}

    def _stretch_end(self) -> int:
        every = self._plan["evaluate_every_steps"]
        return self._goal if every is None else min(self._goal, (self._step // every + 1) * every)

    def _evaluation_due(self, step: int) -> bool:
        every = self._plan["evaluate_every_steps"]
        due = every is not None and step > 0 and (step % every == 0 or step == self._goal)
        return due and step not in self._measured

    def _train(self, until: int) -> bool:
        """Trains up to a step; False when the input ended before."""
        attempt = self._attempt
        attempt.check()
        hook = ProgressHook(
            attempt.control, self._goal, self._step, on_first_step=lambda at: attempt.mark("first_step", at)
        )
        listener = CheckpointListener(self._record, self._step)
        # A job is trained in stretches, with evaluations between them, and may be stopped: all of it is one pass.
        hooks = [hook, est.hooks.KeepInputPosition()]
        self._estimator.train(self._input_fn, hooks=hooks, max_steps=until, saving_listeners=[listener])
        self._step = listener.step  # the hook was not called at the steps between its points
        attempt.control.tell(step=self._step)
        attempt.check()
        return self._step >= until

    def _record(self, step: int) -> bool:
        self._attempt.record_checkpoint(step)
        self._attempt.prune_checkpoints(self._keep, self._best_steps())
        return True

    def _evaluate(self) -> None:
        data = self._attempt.spec["data"]["eval"]
        if self._eval_input is None:
            same = data["dataset"] == self._attempt.spec["data"]["train"]["dataset"]
            table = self._table if same else self._open(data["dataset"])
            missing = self._attempt.spec["data"]["train"]["missing"]
            inputs = build.Inputs(table, self._spec, data, self._attempt.scratch / "eval", missing=missing)
            self._eval_input, self._eval_rows = inputs.input_fn(data["batch_size"]), inputs.count
        metrics = evaluate(self._attempt, self._estimator, self._eval_input, name=EVALUATION)
        self._measured[self._step] = metrics
        self._attempt.record_evaluation(
            train_job_id=self._attempt.claim.job_id,
            step=self._step,
            metrics=metrics,
            name=EVALUATION,
            dataset_id=data["dataset"],
            dataset_digest=data["digest"],
            split=data["part"],
            rows=self._eval_rows,
        )
        self._attempt.prune_checkpoints(self._keep, self._best_steps())

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
        best = self._best(**self._attempt.spec["best_metric"])
        return set() if best is None else {best}

    def _out_of_patience(self) -> bool:
        stopping = self._plan["early_stopping"]
        if stopping is None or self._step < stopping["min_steps"]:
            return False
        best = self._best(stopping["metric"], stopping["mode"])
        return best is not None and self._step - best >= stopping["patience_steps"]

    def _publish(self, result: Json) -> None:
        attempt, spec = self._attempt, self._attempt.spec
        step = self._step
        if spec["export"] == "best":
            step = self._best(**spec["best_metric"]) or step
        if spec["export"] == "none":
            attempt.succeed(result)
            return
        publication.publish(
            attempt,
            self._estimator,
            self._spec,
            self._table,
            train_job_id=attempt.claim.job_id,
            step=step,
            promote=spec["promote"],
            metrics=self._measured.get(step),
            result=result,
        )
