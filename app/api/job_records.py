"""Records of a job: log, metric series, checkpoints, evaluations, exports, predictions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.background import BackgroundTask

from app.api.deps import AppState, AppStateDep, JobId, problems
from app.api.schemas.job import (
    CheckpointList,
    CheckpointView,
    EvaluationList,
    EvaluationView,
    ExportList,
    ExportView,
    MetricSeries,
    Point,
)
from app.errors import Conflict, NotFound
from app.jobs.state import JobState
from app.registry.checkpoints import CheckpointRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository
from app.registry.tables import Job
from app.storage import Storage

router = APIRouter(tags=["jobs"])

_MOST_LOG_BYTES = 4 * 2**20
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PREDICTIONS = {"jsonl": ("predictions.jsonl", "application/jsonl"), "parquet": ("predictions.parquet", "application/vnd.apache.parquet")}  # fmt: skip  # noqa: E501


@router.get(
    "/v1/jobs/{job_id}/logs",
    operation_id="get_job_logs",
    summary="Log of a job",
    response_class=PlainTextResponse,
    responses=problems(404),
)
def get_logs(
    app_state: AppStateDep,
    job_id: JobId,
    attempt: Annotated[int | None, Query(ge=1, le=10_000, description="Only this attempt's.")] = None,
    tail_bytes: Annotated[int, Query(ge=1, le=_MOST_LOG_BYTES, description="Only the last lines.")] = 2**20,
) -> PlainTextResponse:
    """All attempts' in their order, as plain text without terminal codes. Kept when an attempt dies."""
    job = _job(app_state, job_id)
    numbers = range(1, job.attempt + 1) if attempt is None else [attempt]
    keys = [(number, key) for number in numbers for key in app_state.storage.log_keys(job_id, number, job.seats)]
    return PlainTextResponse("".join(_tail(app_state.storage, keys, tail_bytes)))


@router.get(
    "/v1/jobs/{job_id}/metrics",
    operation_id="get_job_metrics",
    summary="Metric series of a job, by name and step",
    responses=problems(404),
)
def get_metrics(
    app_state: AppStateDep,
    job_id: JobId,
    name: Annotated[list[str] | None, Query(max_length=20, description="Only these series.")] = None,
    after_step: Annotated[int, Query(ge=-1, le=2**62, description="Only points after this step.")] = -1,
    limit: Annotated[int, Query(ge=1, le=100_000, description="Maximum number of points per series.")] = 10_000,
) -> MetricSeries:
    with app_state.database.read() as session:
        JobRepository(session).get(job_id)
        metrics = MetricRepository(session)
        names = metrics.names(job_id)
        wanted = [one for one in names if name is None or one in name]
        series = {
            one: [
                Point(step=step, value=value)
                for step, value in metrics.series(job_id, one, after_step=after_step, limit=limit)
            ]
            for one in wanted
        }
    return MetricSeries(names=names, series=series)


@router.get(
    "/v1/jobs/{job_id}/checkpoints",
    operation_id="list_job_checkpoints",
    summary="Checkpoints of a job",
    responses=problems(404),
)
def list_checkpoints(app_state: AppStateDep, job_id: JobId) -> CheckpointList:
    with app_state.database.read() as session:
        JobRepository(session).get(job_id)
        rows = CheckpointRepository(session).list(job_id)
    return CheckpointList(checkpoints=[CheckpointView.of(row) for row in rows])


@router.get(
    "/v1/jobs/{job_id}/evaluations",
    operation_id="list_job_evaluations",
    summary="Evaluations by a job, and of its checkpoints",
    responses=problems(404),
)
def list_evaluations(app_state: AppStateDep, job_id: JobId) -> EvaluationList:
    with app_state.database.read() as session:
        JobRepository(session).get(job_id)
        rows = EvaluationRepository(session).for_job(job_id)
    return EvaluationList(evaluations=[EvaluationView.of(row) for row in rows])


@router.get(
    "/v1/jobs/{job_id}/exports",
    operation_id="list_job_exports",
    summary="Exports by a job, and of its checkpoints",
    responses=problems(404),
)
def list_exports(app_state: AppStateDep, job_id: JobId) -> ExportList:
    with app_state.database.read() as session:
        JobRepository(session).get(job_id)
        rows = ExportRepository(session).for_job(job_id)
    return ExportList(exports=[ExportView.of(row) for row in rows])


@router.get(
    "/v1/jobs/{job_id}/predictions",
    operation_id="get_job_predictions",
    summary="Result of a batch prediction, as a file",
    response_class=FileResponse,
    responses={
        **problems(404, 409),
        200: {
            "description": "One row for each row of the data set, in its order.",
            "content": {media: {} for _, media in _PREDICTIONS.values()},
        },
    },
)
def get_predictions(
    app_state: AppStateDep,
    job_id: JobId,
    format: Annotated[Literal["jsonl", "parquet"], Query(description="Of the file.")] = "jsonl",
) -> FileResponse:
    job = _job(app_state, job_id)
    if job.type != "predict":
        raise Conflict(f"The job is of type {job.type}: only a predict job has predictions.")
    if job.state != JobState.SUCCEEDED:
        raise Conflict(f"The job is {job.state}: its predictions are there when it has SUCCEEDED.")
    name, media = _PREDICTIONS[format]
    files = app_state.storage.hold(app_state.storage.prediction_key(job_id), (job.result or {}).get("digest"))
    path = files.path / name
    if not path.is_file():
        raise NotFound(f"The job has no predictions as {format}.")
    return FileResponse(path, media_type=media, filename=f"{job_id}.{format}", background=BackgroundTask(files.release))


def _job(app_state: AppState, job_id: str) -> Job:
    with app_state.database.read() as session:
        return JobRepository(session).get(job_id)


def _tail(storage: Storage, keys: list[tuple[int, str]], limit: int) -> Iterator[str]:
    """The last `limit` bytes of all the logs together, with a line before each attempt's."""
    parts: list[str] = []
    for number, key in reversed(keys):
        if limit <= 0:
            break
        data = storage.read_end(key, limit)
        if data is None:
            continue
        limit -= len(data)
        parts.append(f"--- attempt {number} ---\n{plain_text(data)}")
    return reversed(parts)


def plain_text(data: bytes) -> str:
    """Log bytes without what a terminal or browser would act on."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))
