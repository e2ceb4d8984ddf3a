"""Jobs that begin from what another one left."""

from __future__ import annotations

from app.ids import new_id
from app.jobs.parse import parse_job
from app.jobs.plan import TrainedSource
from app.jobs.spec import EvaluateSpec, ExportSpec, PredictSpec, SourceReference
from tests.jobs.penguins import PENGUINS, FakeSources, errors, find, request, train_spec


def source() -> TrainedSource:
    return TrainedSource(new_id("job"), 100, new_id("ckpt"), train_spec(parse_job(request(), find)), "penguins", 3)


def test_evaluate_of_a_version_carries_what_the_worker_needs() -> None:
    trained = source()
    body = {
        "type": "evaluate",
        "model": "penguins",
        "version": 3,
        "data": {"eval": {"dataset": PENGUINS}},
        "name": "again",
    }
    spec = parse_job(body, find, FakeSources(trained)).spec
    assert isinstance(spec, EvaluateSpec)
    assert spec.source == SourceReference(
        job=trained.job, step=100, checkpoint=trained.checkpoint, model="penguins", version=3
    )
    assert spec.train_spec == trained.spec
    assert spec.data.eval.labels == trained.spec.labels
    assert (spec.name, spec.steps, spec.data.eval.batch_size) == ("again", None, 256)


def test_source_must_be_named_once_and_exist() -> None:
    trained, data = source(), {"eval": {"dataset": PENGUINS}}
    find_source = FakeSources(trained)
    assert "" in errors({"type": "evaluate", "data": data}, models=find_source)
    assert "/model" in errors({"type": "evaluate", "model": "other", "data": data}, models=find_source)
    both = {"checkpoint": trained.checkpoint, "job": trained.job}
    assert "" in errors({"type": "evaluate", "data": data} | both, models=find_source)


def test_export_and_predict_jobs_are_planned() -> None:
    trained = source()
    spec = parse_job({"type": "export", "job": trained.job, "step": 100}, find, FakeSources(trained)).spec
    assert isinstance(spec, ExportSpec)
    assert spec.promote is not None
    assert (spec.model, spec.promote.label) == ("penguins", "latest")
    body = {"type": "predict", "checkpoint": trained.checkpoint, "data": {"predict": {"dataset": PENGUINS}}}
    predicted = parse_job(body, find, FakeSources(trained)).spec
    assert isinstance(predicted, PredictSpec)
    assert predicted.data.predict.digest == "sha256:1"


def test_warm_start_is_resolved() -> None:
    trained = source()
    body = request() | {"warm_start_from": {"model": "penguins", "version": 3}}
    assert train_spec(parse_job(body, find, FakeSources(trained))).warm_start_from == SourceReference(
        job=trained.job, step=100, checkpoint=trained.checkpoint, model="penguins", version=3
    )
