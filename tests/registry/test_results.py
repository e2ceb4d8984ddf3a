"""Evaluations, metric series and exports."""

from __future__ import annotations

import math

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.ids import new_id
from app.registry.evaluations import EvaluationRepository
from app.registry.events import EventRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.attempts import Claim
from app.registry.metric_points import MetricRepository
from app.registry.models import ModelRepository
from tests.registry.conftest import make_claim, make_dataset, make_export, make_job


def test_evaluation_is_recorded_with_what_was_measured(session: Session) -> None:
    claim, data = make_claim(session), make_dataset(session)
    row = EvaluationRepository(session).add(
        claim.job_id,
        1,
        train_job_id=claim.job_id,
        step=500,
        metrics={"loss": math.nan, "accuracy": 0.5},
        name="holdout",
        dataset_id=data.id,
        dataset_digest=data.digest,
        split="holdout",
        rows=60,
    )
    assert row is not None
    session.refresh(row)
    assert row.metrics == {"loss": None, "accuracy": 0.5}
    event = EventRepository(session).after(claim.job_id)[-1]
    assert (event.kind, event.data["step"], event.data["metrics"]) == ("evaluation", 500, row.metrics)


def test_evaluation_repeated_by_a_resumed_attempt_replaces_the_first(session: Session) -> None:
    evaluations = EvaluationRepository(session)
    claim = make_claim(session)
    for accuracy in (0.5, 0.6):
        evaluations.add(claim.job_id, 1, train_job_id=claim.job_id, step=5, metrics={"accuracy": accuracy})
    evaluations.add(claim.job_id, 1, train_job_id=claim.job_id, step=5, metrics={}, name="other")
    assert [row.metrics for row in evaluations.for_job(claim.job_id)] == [{"accuracy": 0.6}, {}]


def test_evaluations_are_found_by_job_checkpoint_and_data_set(session: Session) -> None:
    evaluations = EvaluationRepository(session)
    train, data = make_claim(session), make_dataset(session)
    judge = make_claim(session, make_job(session, type="evaluate"))
    own = evaluations.add(train.job_id, 1, train_job_id=train.job_id, step=5, metrics={})
    later = evaluations.add(train.job_id, 1, train_job_id=train.job_id, step=10, metrics={})
    judged = evaluations.add(judge.job_id, 1, train_job_id=train.job_id, step=5, metrics={}, dataset_id=data.id)
    assert evaluations.for_job(train.job_id) == [own, judged, later]
    assert evaluations.for_job(judge.job_id) == [judged]
    assert evaluations.of_checkpoint(train.job_id, 5) == [own, judged]
    assert evaluations.on_dataset(data.id) == [judged]


def test_versions_are_compared_on_the_same_data(session: Session) -> None:
    evaluations, models = EvaluationRepository(session), ModelRepository(session)
    first, second = make_dataset(session), make_dataset(session)
    trained = [make_claim(session) for _ in range(2)]
    judge = make_claim(session, make_job(session, type="evaluate"))

    def measure(claim: Claim, step: int, dataset: str, accuracy: float) -> None:
        evaluations.add(
            judge.job_id, 1, train_job_id=claim.job_id, step=step, metrics={"accuracy": accuracy}, dataset_id=dataset
        )

    for accuracy, claim in zip((0.5, 0.75), trained, strict=True):
        export = make_export(session, claim, step=10)
        models.create_version("m", export.id, claim.job_id, {}, "STORED", None)
        measure(claim, 10, first.id, accuracy)
        measure(claim, 10, second.id, accuracy / 2)
        measure(claim, 5, first.id, 0.0)  # a checkpoint that no version was made from
    found = evaluations.of_model("m", dataset_id=first.id)
    assert [(number, row.metrics["accuracy"]) for number, row in found] == [(2, 0.75), (1, 0.5)]
    everything = evaluations.of_model("m")
    assert sorted(row.metrics["accuracy"] for _, row in everything) == [0.25, 0.375, 0.5, 0.75]
    assert [number for number, _ in everything] == [2, 2, 1, 1]
    assert evaluations.of_model("other") == []


def test_series_come_by_name_and_step(session: Session) -> None:
    metrics = MetricRepository(session)
    job = make_claim(session).job_id
    assert metrics.add_points(job, 1, [("loss", 2, 0.5), ("loss", 1, 1.0), ("accuracy", 1, 0.25)])
    assert metrics.names(job) == ["accuracy", "loss"]
    assert metrics.series(job, "loss") == [(1, 1.0), (2, 0.5)]
    assert metrics.series(job, "loss", after_step=1) == [(2, 0.5)]
    assert metrics.series(job, "loss", limit=1) == [(1, 1.0)]
    assert metrics.series(job, "none") == []


def test_series_repeated_by_a_resumed_attempt_are_replaced(session: Session) -> None:
    metrics = MetricRepository(session)
    job = make_claim(session).job_id
    metrics.add_points(job, 1, [("loss", step, 1.0) for step in range(1000)])
    metrics.add_points(job, 1, [("loss", step, 2.0) for step in range(500, 1000)] + [("loss", 999, 3.0)])
    values = [value for _, value in metrics.series(job, "loss")]
    assert values == [1.0] * 500 + [2.0] * 499 + [3.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_series_hold_null_where_a_number_is_not_finite(session: Session, value: float) -> None:
    metrics = MetricRepository(session)
    job = make_claim(session).job_id
    metrics.add_points(job, 1, [("loss", 1, value)])
    assert metrics.series(job, "loss") == [(1, None)]


def test_no_points_are_no_error_and_long_names_are_cut(session: Session) -> None:
    metrics = MetricRepository(session)
    job = make_claim(session).job_id
    assert metrics.add_points(job, 1, [])
    metrics.add_points(job, 1, [("x" * 300, 1, 1.0)])
    assert metrics.names(job) == ["x" * 100]


def test_export_is_found_by_id_and_by_both_jobs(session: Session) -> None:
    exports = ExportRepository(session)
    train = make_claim(session)
    maker = make_claim(session, make_job(session, type="export"))
    identifier = new_id("exp")
    export = make_export(session, maker, train_job_id=train.job_id, export_id=identifier)
    assert exports.get(identifier) is export
    assert exports.for_job(train.job_id) == [export]
    assert exports.for_job(maker.job_id) == [export]
    assert EventRepository(session).after(maker.job_id)[-1].kind == "export"
    with pytest.raises(NotFound):
        exports.get(new_id("exp"))


def test_export_id_is_used_once(session: Session) -> None:
    identifier = new_id("exp")
    make_export(session, export_id=identifier)
    with pytest.raises(IntegrityError), session.begin_nested():
        make_export(session, export_id=identifier)
