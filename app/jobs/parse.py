"""`parse_job`: a request body to a job that may be stored. Unknown fields and values are errors that point at them.
Arithmetic over names, schemas and statistics; no TensorFlow, no data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from app.errors import InvalidInput
from app.jobs import parameters
from app.jobs.dataset import DatasetInfo
from app.jobs.feature_columns import COLUMN_ARGUMENTS
from app.jobs.field_errors import FieldErrors, from_pydantic
from app.jobs.plan import Datasets, JobLimits, JobPlan, TrainedSource, TrainedSources
from app.jobs.request import (
    REQUESTS,
    EvalDataRequest,
    EvaluateJobRequest,
    ExportJobRequest,
    JobRequest,
    PredictDataRequest,
    PredictJobRequest,
    TrainJobRequest,
)
from app.jobs.spec import (
    EvaluateData,
    EvaluateDataSets,
    EvaluateSpec,
    ExportSpec,
    JobSpec,
    LabelSpec,
    PredictData,
    PredictDataSets,
    PredictSpec,
    TrainSpec,
    encode,
)
from app.jobs.train_spec import TrainSpecBuilder, promotion
from app.jobs.trained_source import check_same_columns, find_source, renamed_labels
from app.json_pointer import pointer

_MOST_ENTRIES = 10_000
"""Of an object or a list of a request, outside the estimator's arguments."""

__all__ = ["DatasetInfo", "JobLimits", "JobPlan", "TrainedSource", "TrainedSources", "dry_run", "parse_job"]


def parse_job(
    body: Any,
    datasets: Datasets,
    models: TrainedSources | None = None,
    *,
    catalogue: Collection[str] = (),
    limits: JobLimits | None = None,
) -> JobPlan:
    """The plan of a requested job.

    Args:
        body: the request's JSON.
        datasets: gives a data set by its id.
        models: finds versions, checkpoints and jobs that the request names.
        catalogue: names of the operator's `model_fn`s.

    Raises:
        InvalidInput: with a JSON pointer to each wrong field.
    """
    limits = limits or JobLimits()
    request = read_request(body)
    errors, warnings = FieldErrors(), list[str]()
    memory = request.memory_limit_bytes or limits.job_memory_bytes
    spec: JobSpec
    if isinstance(request, TrainJobRequest):
        spec = TrainSpecBuilder(request, datasets, models, catalogue, limits, errors, warnings).build(memory)
    else:
        spec = _source_spec(request, datasets, models, errors, memory)
    return JobPlan(
        spec=spec,
        queue=request.queue,
        priority=request.priority,
        max_attempts=request.max_attempts or limits.max_attempts,
        timeout_s=request.timeout_s or limits.job_timeout_s,
        wait_timeout_s=request.wait_timeout_s,
        warnings=warnings,
        display_name=request.display_name,
        tags=request.tags,
    )


def read_request(body: Any) -> JobRequest:
    """The request as its type, with defaults.

    Raises:
        InvalidInput: with a JSON pointer to each wrong field.
    """
    kind = body.get("type") if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in REQUESTS:
        raise InvalidInput.at("/type", f"A job is an object whose 'type' is one of {', '.join(REQUESTS)}.")
    _check_width(body)
    try:
        return REQUESTS[kind].model_validate(body)
    except ValidationError as error:
        errors = from_pydantic(error, REQUESTS[kind])
    errors.raise_if_any()
    raise AssertionError("a failed validation has an error")


def _check_width(body: dict[str, Any]) -> None:
    """Raises InvalidInput for an object or list so wide that pydantic would hold the interpreter while it collects an
    error for each entry. The estimator's arguments are not its business: `json_schema` checks them."""
    todo: list[tuple[str, Any]] = [("", body)]
    while todo:
        at, value = todo.pop()
        if not isinstance(value, dict | list):
            continue
        if len(value) > _MOST_ENTRIES:
            raise InvalidInput.at(at, f"Has {len(value)} entries; at most {_MOST_ENTRIES} are allowed.")
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        todo += [
            (at + pointer(str(name)[:100]), inner)
            for name, inner in entries
            if isinstance(inner, dict | list) and (at, name) != ("/estimator", "args")
        ]


def dry_run(plan: JobPlan) -> dict[str, Any]:
    """What a plan would train: columns, parameters, memory estimate in bytes, warnings."""
    spec = plan.spec if isinstance(plan.spec, TrainSpec) else plan.spec.train_spec
    args, content = spec.estimator.args, encode(spec)
    number = parameters.count(args)
    return {
        "type": plan.spec.type,
        "model": plan.spec.model,
        "columns": {name: args[name] for name in COLUMN_ARGUMENTS if args.get(name)},
        "features": content["features"],
        "labels": content["labels"],
        "parameters": number,
        "memory_bytes": parameters.memory_bytes(args, number, spec.data.train.batch_size),
        "warnings": list(plan.warnings),
    }


def _source_spec(
    request: EvaluateJobRequest | ExportJobRequest | PredictJobRequest,
    datasets: Datasets,
    models: TrainedSources | None,
    errors: FieldErrors,
    memory: int | None,
) -> JobSpec:
    """Specification of a job over a trained state."""
    source = find_source(request, models, errors)
    errors.raise_if_any()
    assert source is not None
    common: dict[str, Any] = {
        "model": source.model or source.spec.model,
        "source": source.reference(),
        "train_spec": source.spec,
        "memory_limit_bytes": memory,
    }
    if isinstance(request, ExportJobRequest):
        promote = promotion(request.promote, errors)
        errors.raise_if_any()
        return ExportSpec(**common, promote=promote)
    if isinstance(request, PredictJobRequest):
        predicted = _predict_data(request.data.predict, datasets, source.spec, errors)
        return PredictSpec(**common, data=PredictDataSets(predict=predicted))
    evaluated = _evaluate_data(request.data.eval, datasets, source.spec, errors)
    return EvaluateSpec(**common, data=EvaluateDataSets(eval=evaluated), steps=request.steps, name=request.name)


def _evaluate_data(data: EvalDataRequest, datasets: Datasets, trained: TrainSpec, errors: FieldErrors) -> EvaluateData:
    info = _found(datasets(data.dataset), "/data/eval", errors)
    labels: tuple[LabelSpec, ...] = trained.labels
    if data.label is not None:
        labels = renamed_labels(labels, data.label, errors)
    check_same_columns(info, trained.features, labels, "/data/eval", errors)
    if data.part != "all" and trained.data.holdout is None:
        errors.add("/data/eval/part", "The model was trained without a holdout; leave 'part' out.")
    errors.raise_if_any()
    return EvaluateData(
        dataset=info.id,
        label=data.label,
        batch_size=data.batch_size,
        part=data.part,
        digest=info.digest,
        labels=labels,
        holdout=trained.data.holdout,
    )


def _predict_data(data: PredictDataRequest, datasets: Datasets, trained: TrainSpec, errors: FieldErrors) -> PredictData:
    info = _found(datasets(data.dataset), "/data/predict", errors)
    check_same_columns(info, trained.features, (), "/data/predict", errors)
    errors.raise_if_any()
    return PredictData(dataset=info.id, batch_size=data.batch_size, digest=info.digest, holdout=trained.data.holdout)


def _found(info: DatasetInfo | None, at: str, errors: FieldErrors) -> DatasetInfo:
    if info is None:
        errors.add(f"{at}/dataset", "There is no data set with this id or name.")
        errors.raise_if_any()
    assert info is not None
    return info
