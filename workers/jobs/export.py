"""Exporting a trained state and publishing it as a model's version: SavedModel, skew check, promotion gate, lineage."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy.orm import Session

import tf_estimator as est
from app.datasets.table import Table
from app.ids import new_id
from app.jobs.state import VersionState
from app.registry.checkpoints import CheckpointRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.exports import ExportRepository
from app.registry.models import ModelRepository
from app.registry.tables import Checkpoint
from workers.attempt.attempt import Attempt
from workers.jobs import model as build
from workers.jobs.source import open_trained, training_table

log = logging.getLogger(__name__)

Json = dict[str, Any]
SKEW = 1e-3
"""How far predictions of the export may be from the trainer's, for values around 1; more for bigger labels."""


def run(attempt: Attempt) -> None:
    """The job type `export`: any checkpoint."""
    trained = open_trained(attempt)
    table = training_table(attempt, trained.spec)
    attempt.mark("data_opened")
    estimator = build.make_estimator(trained.spec, attempt.directory)
    rows = attempt.read(lambda session: EvaluationRepository(session).of_checkpoint(trained.job, trained.step))
    publish(
        attempt,
        estimator,
        trained.spec,
        table,
        train_job_id=trained.job,
        step=trained.step,
        promote=attempt.spec["promote"],
        metrics=rows[-1].metrics if rows else None,
        result={"step": trained.step},
    )


def publish(
    attempt: Attempt,
    estimator: Any,
    spec: Json,
    table: Table,
    *,
    train_job_id: str,
    step: int,
    promote: Json | None,
    metrics: Json | None,
    result: Json,
) -> None:
    """Exports the checkpoint of `step` and ends the job: export, version and success are one transaction, so that a job
    publishes once however often it runs. A directory that no row came to point to is removed.

    Args:
        spec: the training specification with all statistics in.
        table: the training data, for example rows.
        metrics: of the newest evaluation of that checkpoint, for the gate.
    """
    attempt.check()
    checkpoint = attempt.read(lambda session: CheckpointRepository(session).at(train_job_id, step))
    export_id = new_id("exp")
    key = attempt.storage.export_key(export_id)
    committed_or_unknown = False
    try:
        made, skew = _export(attempt, estimator, spec, table, key, checkpoint)
        attempt.check()
        digest, size = attempt.storage.digest(key), attempt.storage.size(key)
        state, reason = judge(promote, metrics, skew, skew_limit(table, spec))
        lineage = _lineage(attempt, spec, checkpoint) | {"export_digest": digest, "skew": skew}
        lineage |= {"engine": made["engine"], "tensorflow": made["tensorflow"]}

        def commit(session: Session) -> Json | None:
            row = ExportRepository(session).add(
                attempt.claim.job_id,
                attempt.claim.attempt,
                train_job_id=train_job_id,
                step=step,
                path=key,
                digest=digest,
                bytes=size,
                export_id=export_id,
            )
            if row is None:
                return None
            evaluations = EvaluationRepository(session).of_checkpoint(train_job_id, step)
            label = promote["label"] if promote and state is VersionState.STAGED else None
            version = ModelRepository(session).create_version(
                spec["model"],
                export_id,
                attempt.claim.job_id,
                lineage | {"evaluations": [evaluation.id for evaluation in evaluations]},
                state,
                label,
                reason,
            )
            told = {"version_state": state, "version_reason": reason}
            return {"export": export_id, "exported_step": step, "skew": skew, "version": version.number} | told

        # Also a write that ends as fenced may be one whose first try was committed by a connection that died before it
        # could say so: the directory stays then, and is the reconciler's if no row points to it.
        committed_or_unknown = True
        attempt.succeed(result, commit)
    finally:
        if not committed_or_unknown:
            attempt.storage.remove(key)


def _export(
    attempt: Attempt, estimator: Any, spec: Json, table: Table, key: str, checkpoint: Checkpoint
) -> tuple[Json, float | None]:
    """Writes the SavedModel; gives its serving.json and the largest difference between its predictions and the
    trainer's (None without example rows)."""
    directory, path = str(attempt.storage.path(key)), str(attempt.storage.path(checkpoint.path))
    infos, examples = build.feature_infos(spec), build.example_rows(table, spec)
    vocabularies = [label["vocabulary"] for label in spec["labels"] if label["vocabulary"] is not None]
    attempt.mark("export_started")
    made = est.export.export_for_serving(
        estimator,
        directory,
        features=infos,
        examples=examples,
        checkpoint_path=path,
        label_vocabulary=vocabularies[0] if len(vocabularies) == 1 else None,
    )
    if not examples:
        return made, None
    return made, float(est.export.skew_check(estimator, directory, examples, features=infos, checkpoint_path=path))


def skew_limit(table: Table, spec: Json) -> float:
    """`SKEW`, in proportion to the largest number that the model learns to predict."""
    largest = 1.0
    for label in spec["labels"]:
        if label["kind"] == "number":
            for name in label["columns"]:
                info = table.info(name)
                largest = max(largest, abs(info.get("min") or 0), abs(info.get("max") or 0))
    return SKEW * largest


def judge(
    promote: Json | None, metrics: Json | None, skew: float | None, limit: float
) -> tuple[VersionState, str | None]:
    """The promotion gate: a version's state, and the reason of a refusal."""
    if skew is not None and not skew <= limit:
        return VersionState.REFUSED, f"Its predictions differ from the trainer's by {skew:.3g}; at most {limit:.3g}."
    if promote is None:
        return VersionState.STORED, None
    gate = promote["when"]
    if gate is None:
        return VersionState.STAGED, None
    value = (metrics or {}).get(gate["metric"])
    if value is None:
        return VersionState.REFUSED, f"Its evaluation has no value of the metric {gate['metric']!r}."
    if "at_least" in gate and value < gate["at_least"]:
        return VersionState.REFUSED, f"{gate['metric']} is {value:.6g}, under the asked {gate['at_least']:.6g}."
    if "at_most" in gate and value > gate["at_most"]:
        return VersionState.REFUSED, f"{gate['metric']} is {value:.6g}, over the asked {gate['at_most']:.6g}."
    return VersionState.STAGED, None


def _lineage(attempt: Attempt, spec: Json, checkpoint: Checkpoint) -> Json:
    """What a version was made of."""
    data = spec["data"]
    datasets = [{"role": "train", "id": data["train"]["dataset"], "digest": data["train"]["digest"]}]
    if data["eval"] is not None:
        datasets.append({"role": "eval", "id": data["eval"]["dataset"], "digest": data["eval"]["digest"]})
    return {
        "job": checkpoint.job_id,
        "attempt": checkpoint.attempt,
        "exported_by": attempt.claim.job_id,
        "checkpoint": checkpoint.id,
        "step": checkpoint.step,
        "estimator": spec["estimator"]["type"],
        "datasets": datasets,
        "missing": {feature["name"]: feature["missing"] for feature in spec["features"]},
    }
