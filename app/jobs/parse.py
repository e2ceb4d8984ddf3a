"""`parse_job`: a request body to a job that may be stored. Strict: what is not known is an error that points at it.
Arithmetic over names, schemas and statistics; no TensorFlow, no data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.errors import InvalidInput
from app.jobs import json_schema as schema
from app.jobs import parameters
from app.jobs.dataset import DatasetInfo
from app.jobs.feature_columns import COLUMN_ARGUMENTS
from app.jobs.plan import Datasets, JobPlan, Limits, Mistakes, Source, Sources
from app.jobs.request_schema import JOBS
from app.jobs.train_spec import TrainSpec, check_gate
from app.jobs.trained_source import check_same_columns, find_source, renamed

__all__ = ["DatasetInfo", "JobPlan", "Limits", "Source", "Sources", "dry_run", "parse_job"]


def parse_job(
    body: Any,
    datasets: Datasets,
    models: Sources | None = None,
    *,
    catalogue: Collection[str] = (),
    limits: Limits | None = None,
) -> JobPlan:
    """The plan of a requested job.

    Args:
        body: the request's JSON.
        datasets: gives a data set by its id.
        models: finds versions, checkpoints and jobs that the request names.
        catalogue: names of the operator's `model_fn`s.

    Raises:
        InvalidInput: with a JSON pointer for every wrong place.
    """
    limits = limits or Limits()
    kind = body.get("type") if isinstance(body, dict) else None
    if not isinstance(kind, str) or kind not in JOBS:
        raise InvalidInput.at("/type", f"A job is an object whose 'type' is one of {', '.join(JOBS)}.")
    mistakes = Mistakes(schema.check(body, JOBS[kind]))
    mistakes.stop()
    request = schema.fill(body, JOBS[kind])
    warnings: list[str] = []
    if kind == "train":
        spec = TrainSpec(request, datasets, models, catalogue, limits, mistakes, warnings).build()
    else:
        spec = _of_source(request, datasets, models, mistakes)
    return JobPlan(
        type=kind,
        model=spec["model"],
        spec=spec | {"memory_limit_bytes": request["memory_limit_bytes"] or limits.job_memory_bytes},
        queue=request["queue"],
        priority=request["priority"],
        max_attempts=request["max_attempts"] or limits.max_attempts,
        timeout_s=request["timeout_s"] or limits.job_timeout_s,
        wait_timeout_s=request["wait_timeout_s"],
        warnings=warnings,
    )


def dry_run(plan: JobPlan) -> dict[str, Any]:
    """What a plan would train: columns, parameters, memory estimate in bytes, warnings."""
    spec = plan.spec if plan.type == "train" else plan.spec["train_spec"]
    args, batch = spec["estimator"]["args"], spec["data"]["train"]["batch_size"]
    number = parameters.count(args)
    return {
        "type": plan.type,
        "model": plan.model,
        "columns": {name: args[name] for name in COLUMN_ARGUMENTS if args.get(name)},
        "features": spec["features"],
        "labels": spec["labels"],
        "parameters": number,
        "memory_bytes": parameters.memory_bytes(args, number, batch),
        "warnings": list(plan.warnings),
    }


def _of_source(
    request: dict[str, Any], datasets: Datasets, models: Sources | None, mistakes: Mistakes
) -> dict[str, Any]:
    """Specification of a job over a trained state: evaluate, export, predict."""
    source = find_source(request, models, mistakes)
    mistakes.stop()
    assert source is not None
    spec = {
        "type": request["type"],
        "model": source.model or source.spec["model"],
        "source": source.reference(),
        "train_spec": source.spec,
    }
    if request["type"] == "export":
        check_gate(request["promote"], mistakes)
        mistakes.stop()
        return spec | {"promote": request["promote"]}
    part = "eval" if request["type"] == "evaluate" else "predict"
    data = dict(request["data"][part])
    info = datasets(data["dataset"])
    if info is None:
        mistakes.add(f"/data/{part}/dataset", "There is no data set with this id.")
        mistakes.stop()
    assert info is not None
    labels = source.spec["labels"] if part == "eval" else []
    if part == "eval" and data["label"] is not None:
        labels = renamed(labels, data["label"], mistakes)
    check_same_columns(info, source.spec["features"], labels, f"/data/{part}", mistakes)
    if data.get("part", "all") != "all" and source.spec["data"]["holdout"] is None:
        mistakes.add(f"/data/{part}/part", "The model was trained without a holdout; leave 'part' out.")
    mistakes.stop()
    data |= {"digest": info.digest, "labels": labels, "holdout": source.spec["data"]["holdout"]}
    spec["data"] = {part: data}
    return spec | ({"steps": request["steps"], "name": request["name"]} if part == "eval" else {})
