"""Exports a checkpoint and publishes it as a model's version: SavedModel, skew check, promotion gate, lineage."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

import tf_estimator as est
from app.datasets.table import Table
from app.ids import new_id
from app.jobs.spec import ExportSpec, JsonObject, Promote, PromotionGate, TrainSpec, encode_features
from app.jobs.state import VersionState
from app.registry.checkpoints import CheckpointRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.attempts import Claim
from app.registry.models import ModelRepository
from app.registry.tables import Checkpoint
from workers.attempt.attempt import RunningAttempt
from workers.data.dataset_inputs import example_rows
from workers.jobs.checkpoint_source import open_source, training_table
from workers.jobs.make_estimator import feature_infos, make_estimator

Metrics = Mapping[str, float | None]
SKEW = 1e-3
"""How far predictions of the export may be from the trainer's, for values around 1; more for bigger labels."""


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that may become a version.

    Attributes:
        spec: the training specification with all statistics.
        table: the training data, for example rows.
        metrics: of the newest evaluation of the checkpoint, for the gate.
    """

    estimator: Any
    spec: TrainSpec
    table: Table
    checkpoint: Checkpoint
    promote: Promote | None
    metrics: Metrics | None


@dataclass(frozen=True)
class _Export:
    """A SavedModel in the artifact store, with its verdict."""

    id: str
    key: str
    digest: str
    bytes: int
    skew: float | None
    state: VersionState
    reason: str | None
    lineage: JsonObject


def run(attempt: RunningAttempt, spec: ExportSpec) -> None:
    """The job type `export`: any checkpoint."""
    source = open_source(attempt, spec)
    table = training_table(attempt, source.spec)
    attempt.mark("data_opened")
    rows = attempt.read(lambda session: EvaluationRepository(session).of_checkpoint(source.job, source.step))
    candidate = Candidate(
        estimator=make_estimator(source.spec, attempt.directory),
        spec=source.spec,
        table=table,
        checkpoint=attempt.read(lambda session: CheckpointRepository(session).at_step(source.job, source.step)),
        promote=spec.promote,
        metrics=rows[-1].metrics if rows else None,
    )
    publish(attempt, candidate, {"step": source.step})


def publish(attempt: RunningAttempt, candidate: Candidate, result: JsonObject) -> None:
    """Exports the checkpoint and ends the job: export, version and success are one transaction, so that a job publishes
    once however often it runs. A directory that no row refers to is removed.

    Args:
        result: the job's result; the export and the version are added to it.
    """
    attempt.check()
    export_id = new_id("exp")
    key = attempt.storage.export_key(export_id)
    committed_or_unknown = False
    try:
        export = _export(attempt, candidate, export_id, key)
        attempt.check()
        # A write reported as fenced may nevertheless have been committed on its first try, if the connection died
        # before the reply. The directory stays in that case; the reconciler removes it if no row refers to it.
        committed_or_unknown = True
        attempt.succeed(result, functools.partial(_record, attempt.claim, candidate, export))
    finally:
        if not committed_or_unknown:
            attempt.storage.discard(key)


def _record(claim: Claim, candidate: Candidate, export: _Export, session: Session) -> JsonObject | None:
    """Records export and version; what the job's result says of them, or None when the attempt is over."""
    row = ExportRepository(session).add(
        claim.job_id,
        claim.attempt,
        train_job_id=candidate.checkpoint.job_id,
        step=candidate.checkpoint.step,
        path=export.key,
        digest=export.digest,
        bytes=export.bytes,
        export_id=export.id,
    )
    if row is None:
        return None
    evaluations = EvaluationRepository(session).of_checkpoint(candidate.checkpoint.job_id, candidate.checkpoint.step)
    promoted = candidate.promote is not None and export.state is VersionState.STAGED
    version = ModelRepository(session).create_version(
        candidate.spec.model,
        export.id,
        claim.job_id,
        export.lineage | {"evaluations": [evaluation.id for evaluation in evaluations]},
        export.state,
        candidate.promote.label if candidate.promote is not None and promoted else None,
        export.reason,
    )
    return {
        "export": export.id,
        "exported_step": candidate.checkpoint.step,
        "skew": export.skew,
        "version": version.number,
        "version_state": export.state,
        "version_reason": export.reason,
    }


def _export(attempt: RunningAttempt, candidate: Candidate, export_id: str, key: str) -> _Export:
    """Writes the SavedModel and judges it."""
    spec, storage = candidate.spec, attempt.storage
    description, skew = _write(attempt, candidate, key)
    state, reason = judge(candidate.promote, candidate.metrics, skew, skew_limit(candidate.table, spec))
    digest = storage.digest(key)
    lineage = _lineage(attempt, spec, candidate.checkpoint) | {
        "export_digest": digest,
        "skew": skew,
        "engine": description["engine"],
        "tensorflow": description["tensorflow"],
    }
    size = storage.size(key)
    attempt.publish(key)
    attempt.mark("exported")
    return _Export(export_id, key, digest, size, skew, state, reason, lineage)


def _write(attempt: RunningAttempt, candidate: Candidate, key: str) -> tuple[JsonObject, float | None]:
    """Writes the SavedModel; its serving.json, and the largest difference between its predictions and the trainer's
    (None without example rows)."""
    spec = candidate.spec
    directory, path = str(attempt.storage.path(key)), str(attempt.fetch(candidate.checkpoint.path))
    infos, examples = feature_infos(spec), example_rows(candidate.table, spec)
    vocabularies = [list(label.vocabulary) for label in spec.labels if label.vocabulary is not None]
    attempt.mark("export_started")
    description: JsonObject = est.export.export_for_serving(
        candidate.estimator,
        directory,
        features=infos,
        examples=examples,
        checkpoint_path=path,
        label_vocabulary=vocabularies[0] if len(vocabularies) == 1 else None,
    )
    if not examples:
        return description, None
    skew = est.export.skew_check(candidate.estimator, directory, examples, features=infos, checkpoint_path=path)
    return description, float(skew)


def skew_limit(table: Table, spec: TrainSpec) -> float:
    """`SKEW`, in proportion to the largest number that the model learns to predict."""
    largest = 1.0
    for label in spec.labels:
        if label.kind == "number":
            for name in label.columns:
                info = table.info(name)
                largest = max(largest, abs(info.get("min") or 0), abs(info.get("max") or 0))
    return SKEW * largest


def judge(
    promote: Promote | None, metrics: Metrics | None, skew: float | None, limit: float
) -> tuple[VersionState, str | None]:
    """The promotion gate: a version's state, and the reason of a refusal."""
    if skew is not None and not skew <= limit:
        return VersionState.REFUSED, f"Its predictions differ from the trainer's by {skew:.3g}; at most {limit:.3g}."
    if promote is None:
        return VersionState.STORED, None
    refusal = None if promote.when is None else _refusal(promote.when, metrics or {})
    return VersionState.STAGED if refusal is None else VersionState.REFUSED, refusal


def _refusal(gate: PromotionGate, metrics: Metrics) -> str | None:
    """Why a gate refuses a version; None if it does not."""
    value = metrics.get(gate.metric)
    if value is None:
        return f"Its evaluation has no value of the metric {gate.metric!r}."
    if gate.at_least is not None and value < gate.at_least:
        return f"{gate.metric} is {value:.6g}, under the required {gate.at_least:.6g}."
    if gate.at_most is not None and value > gate.at_most:
        return f"{gate.metric} is {value:.6g}, over the allowed {gate.at_most:.6g}."
    return None


def _lineage(attempt: RunningAttempt, spec: TrainSpec, checkpoint: Checkpoint) -> JsonObject:
    """Everything that a version was made of."""
    parts = {"train": spec.data.train, "eval": spec.data.eval}
    return {
        "job": checkpoint.job_id,
        "attempt": checkpoint.attempt,
        "exported_by": attempt.claim.job_id,
        "checkpoint": checkpoint.id,
        "step": checkpoint.step,
        "estimator": spec.estimator.type,
        "datasets": [
            {"role": role, "id": part.dataset, "digest": part.digest}
            for role, part in parts.items()
            if part is not None
        ],
        "missing": {feature["name"]: feature["missing"] for feature in encode_features(spec.features)},
    }
