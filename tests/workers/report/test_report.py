"""Reports of evaluations, made by jobs of every kind of head."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.registry.evaluations import EvaluationRepository
from tests.workers.in_process import Service, flowers
from tests.workers.trainer.test_runner import request
from workers.jobs import evaluation_report


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"), migrated_sqlite)
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def data(service: Service) -> str:
    return service.upload(flowers())


def numbers(rows: int = 300) -> str:
    """`y` is 3x without `noise`; weights 1 and 2; a list of words, of which `tags` has some."""
    draw = random.Random(4)
    lines = ["x,noise,size,y,w,a,b,c"]
    for row in range(rows):
        x = draw.uniform(-1, 1)
        flags = [int(x > 0), int(x > 0.5), row % 2]
        cells = (x, draw.uniform(-1, 1), "big" if x > 0 else "small", 3 * x, 1 + row % 2, *flags)
        lines.append(",".join(str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def dataset(service: Service) -> str:
    return service.upload(numbers())


def reports(service: Service, body: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """The evaluations of a job that trains so, each with its report."""
    job_id = service.submit(body)
    assert service.run(job_id) == "succeeded", service.job(job_id).error_detail
    found = []
    for row in service.look(EvaluationRepository, "for_job", job_id):
        made = service.look(EvaluationRepository, "report", row.id)
        if made is not None:
            found.append((row, made))
    return found


def test_classifier_is_reported_with_the_metrics_of_its_evaluation(service: Service, data: str) -> None:
    ((evaluation, made),) = reports(service, request(data))
    head = made["heads"][""]
    assert (head["kind"], head["rows"], head["total_rows"]) == ("binary", evaluation.rows, evaluation.rows)
    assert head["metrics"]["accuracy"] == pytest.approx(evaluation.metrics["accuracy"], abs=1e-6)
    assert head["metrics"]["log_loss"] == pytest.approx(evaluation.metrics["average_loss"], abs=1e-5)
    assert head["curves"][0]["roc"]["auc"] == pytest.approx(evaluation.metrics["auc"], abs=0.02)  # 200 buckets there
    assert sorted(head["confusion"]["labels"]) == ["daisy", "rose"]
    assert np.sum(head["confusion"]["matrix"]) == evaluation.rows
    assert {entry["column"] for entry in head["slices"]["columns"]} == {"size", "colour", "count"}
    sliced = {entry["column"]: [one["slice"] for one in entry["slices"]] for entry in head["slices"]["columns"]}
    assert sliced["colour"][-1] == "(missing)"
    assert made["importance"][0]["column"] in {"size", "colour"}


def test_only_the_checkpoint_that_the_job_ends_with_has_a_report(service: Service, data: str) -> None:
    found = reports(service, request(data, train={"evaluate_every_steps": 20}))
    assert [row.step for row, _ in found] == [60]


def test_best_checkpoint_is_the_one_that_is_reported(service: Service, data: str) -> None:
    body = request(
        data, train={"evaluate_every_steps": 20}, export="best", best_metric={"metric": "loss", "mode": "max"}
    )
    ((row, made),) = reports(service, body)
    assert row.step == 20  # the loss falls, so that its highest value is the first
    assert made["heads"][""]["metrics"]["log_loss"] == pytest.approx(row.metrics["average_loss"], abs=1e-5)


def test_evaluate_job_reports_the_rows_that_it_evaluated(service: Service, data: str) -> None:
    trained = service.submit(request(data))
    assert service.run(trained) == "succeeded"
    ((row, made),) = reports(
        service, {"type": "evaluate", "job": trained, "data": {"eval": {"dataset": data, "batch_size": 16}}, "steps": 3}
    )
    assert row.rows == made["heads"][""]["rows"] == 48
    progress = service.job(row.job_id).progress
    assert (progress["step"], progress["max_steps"]) == (3, 3)
    assert made["heads"][""]["metrics"]["accuracy"] == pytest.approx(row.metrics["accuracy"], abs=1e-6)
    assert all(entry["row"] < 60 for entry in made["heads"][""]["worst_rows"])


def regression(dataset: str, **data: Any) -> dict[str, Any]:
    train = {"dataset": dataset, "label": "y", "batch_size": 32, "ignore": ["w", "a", "b", "c"], **data}
    return request(
        dataset,
        model="numbers",
        estimator={"type": "DNNRegressor", "args": {"hidden_units": [8]}},
        data={"train": train, "holdout": 0.3},
        train={"max_steps": 150, "save_checkpoints_steps": 150},
    )


def test_weighted_regression_is_reported_with_the_metrics_of_its_evaluation(service: Service, dataset: str) -> None:
    ((row, made),) = reports(service, regression(dataset, weight="w"))
    head = made["heads"][""]
    assert head["kind"] == "regression"
    assert head["metrics"]["root_mean_squared_error"] ** 2 == pytest.approx(row.metrics["average_loss"], rel=1e-4)
    assert {entry["column"] for entry in made["importance"]} == {"x", "noise", "size"}
    worst = head["worst_rows"][0]
    assert worst["loss"] == pytest.approx(abs(worst["predicted"] - worst["label"]))
    assert worst["values"]["x"] == pytest.approx(worst["label"] / 3, rel=1e-5)


def test_several_labels_are_reported_one_by_one(service: Service, dataset: str) -> None:
    head = {"type": "MultiLabelHead", "n_classes": 3}
    body = request(
        dataset,
        model="labels",
        estimator={"type": "DNNEstimator", "args": {"head": head, "hidden_units": [8]}},
        data={"train": {"dataset": dataset, "label": ["a", "b", "c"], "ignore": ["w", "y"]}, "holdout": 0.3},
    )
    ((row, made),) = reports(service, body)
    found = made["heads"][""]
    assert (found["kind"], len(found["curves"]), found["rows"]) == ("multilabel", 3, row.rows)
    assert found["curves"][0]["roc"]["auc"] > 0.9


def test_each_of_several_heads_is_reported(service: Service, dataset: str) -> None:
    heads = [{"type": "BinaryClassHead", "name": "is_a"}, {"type": "RegressionHead", "name": "value"}]
    body = request(
        dataset,
        model="heads",
        estimator={
            "type": "DNNEstimator",
            "args": {"head": {"type": "MultiHead", "heads": heads}, "hidden_units": [8]},
        },
        data={
            "train": {"dataset": dataset, "label": {"is_a": "a", "value": "y"}, "ignore": ["w", "b", "c"]},
            "holdout": 0.3,
        },
    )
    ((_, made),) = reports(service, body)
    assert {name: head["kind"] for name, head in made["heads"].items()} == {"is_a": "binary", "value": "regression"}
    assert made["importance"] == []


def test_failure_of_a_report_is_told_and_the_job_succeeds(
    service: Service, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **named: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(evaluation_report.report, "describe", broken)
    ((_, made),) = reports(service, request(data))
    assert made["heads"] == {}
    assert "RuntimeError" in made["notes"][0]


def test_rows_beyond_the_limit_are_sampled(service: Service, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_report, "MOST_ROWS", 20)
    ((row, made),) = reports(service, request(data))
    head = made["heads"][""]
    assert (head["rows"], head["total_rows"]) == (20, row.rows)


def test_rows_of_sequences_and_text_are_taken_as_the_engine_reads_them() -> None:
    import tf_estimator as est

    text = est.inputs.Dictionary(np.array([0, 1, 1, 0], np.int32), np.array([b"a", b"b"], object))
    lists = est.inputs.Sequence(text, np.array([0, 1, 1, 4], np.int64))
    taken = evaluation_report.take(lists, np.array([2, 0, 1, 2]))
    assert taken.row_splits.tolist() == [0, 3, 4, 4, 7]
    assert taken.values.codes.tolist() == [1, 1, 0, 0, 1, 1, 0]
