"""Routes of jobs: submit, get, list, describe, cancel, retry."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime
from sqlalchemy.orm import Session

from app.api.deps import (
    DATASET_PATTERN,
    AppState,
    AppStateDep,
    Caller,
    IdempotentRequestDep,
    JobId,
    JsonOnly,
    PageSize,
    PageToken,
    problems,
    respond,
)
from app.api.job_examples import EXAMPLES, JOB_SCHEMA
from app.api.schemas.job import DryRun, JobList, JobUpdate, JobView
from app.api.strict_route import StrictRoute
from app.ids import NAME_PATTERN
from app.registry.audit import AuditRepository
from app.registry.datasets import DatasetRepository
from app.registry.idempotency import StoredResponse
from app.registry.jobs.repository import JobRepository
from app.registry.jobs.search import JobFilter
from app.registry.tables import Job

router = APIRouter(tags=["jobs"], route_class=StrictRoute)

State = Literal["QUEUED", "RUNNING", "CANCELLING", "SUCCEEDED", "FAILED", "CANCELLED"]
Type = Literal["train", "evaluate", "export", "predict"]
_POLL_AGAIN_S = "1"
_LINKS: dict[str, Any] = {
    "headers": {
        "Location": {"schema": {"type": "string"}, "description": "Path of the job."},
        "Retry-After": {"schema": {"type": "string"}, "description": "Seconds to wait before the next request."},
    }
}


@router.post(
    "/v1/jobs",
    operation_id="submit_job",
    summary="Submit a job",
    status_code=202,
    response_model=JobView,
    responses={
        **problems(409),
        200: {"model": DryRun, "description": "With `dry_run`: a summary of the job."},
        202: _LINKS,
    },
    dependencies=[JsonOnly],
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": JOB_SCHEMA, "examples": EXAMPLES}}, "required": True}
    },
)
def submit_job(
    app_state: AppStateDep,
    token: Caller,
    idempotent: IdempotentRequestDep,
    body: Annotated[Any, Body()],
    dry_run: Annotated[bool, Query(description="Return a summary of the job; store nothing.")] = False,
) -> JSONResponse:
    """Train, evaluate, export or predict over a data set. The response comes at once; follow the job
    by its `events`."""
    if dry_run:
        return JSONResponse(app_state.dispatch.dry_run(body))

    return respond(app_state.dispatch.submit(body, token.id, idempotent, _accepted))


@router.get("/v1/jobs", operation_id="list_jobs", summary="List jobs, newest first")
def list_jobs(
    app_state: AppStateDep,
    state: Annotated[State | None, Query(description="Only in this state.")] = None,
    type: Annotated[Type | None, Query(description="Only of this type.")] = None,
    model: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only of this model.")] = None,
    estimator: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only with this estimator.")] = None,
    dataset: Annotated[
        str | None, Query(pattern=DATASET_PATTERN, description="Only with this data set, by id or name.")
    ] = None,
    tag: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only with this tag.")] = None,
    text: Annotated[
        str | None,
        Query(
            pattern=r"^[^\x00]*$",
            max_length=200,
            description="Only with this text in display name, model or estimator, or at the beginning of the id.",
        ),
    ] = None,
    created_after: Annotated[AwareDatetime | None, Query(description="Only from this time on.")] = None,
    created_before: Annotated[AwareDatetime | None, Query(description="Only from before this time.")] = None,
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> JobList:
    """`total` is the number of jobs that match; only on the first page."""
    with app_state.database.read() as session:
        where = JobFilter(
            state=state,
            type=type,
            model=model,
            estimator=estimator,
            dataset=DatasetRepository(session).named(dataset).id if dataset is not None else None,
            tag=tag,
            text=text,
            since=created_after.timestamp() if created_after else None,
            before=created_before.timestamp() if created_before else None,
        )
        rows, cursor = JobRepository(session).list(where=where, page_size=page_size, after=page_token, specs=False)
        total = JobRepository(session).count(where) if page_token is None else None
        attempts = JobRepository(session).attempts_by_job([job.id for job in rows])
        outcomes = app_state.promotions.outcomes(session, rows)
        views = [JobView.of(row, attempts.get(row.id, []), spec=False, outcome=outcomes.get(row.id)) for row in rows]
    return JobList(jobs=views, total=total, next_page_token=cursor)


@router.get("/v1/jobs/{job_id}", operation_id="get_job", summary="One job, with its attempts", responses=problems(404))
def get_job(app_state: AppStateDep, job_id: JobId) -> JobView:
    with app_state.database.read() as session:
        return _view(app_state, session, JobRepository(session).get(job_id))


@router.patch(
    "/v1/jobs/{job_id}",
    operation_id="update_job",
    summary="Change a job's display name or tags",
    responses=problems(404),
    dependencies=[JsonOnly],
)
def update_job(app_state: AppStateDep, token: Caller, job_id: JobId, body: JobUpdate) -> JobView:
    """What is left out stays as it is."""
    changes = body.model_dump(include=body.model_fields_set)
    with app_state.database.session() as session:
        job = JobRepository(session).describe(job_id, changes)
        AuditRepository(session).add(token.id, "job.update", job_id, {"fields": sorted(changes)})
        return _view(app_state, session, job)


@router.post(
    "/v1/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    status_code=202,
    responses=problems(404, 409),
)
def cancel_job(app_state: AppStateDep, token: Caller, job_id: JobId) -> JobView:
    """A waiting job is CANCELLED at once. A running one is CANCELLING until its worker has stopped; its checkpoints
    are kept. A job that has ended gives 409."""
    with app_state.database.session() as session:
        return _view(app_state, session, app_state.dispatch.cancel(session, job_id, token.id))


@router.post(
    "/v1/jobs/{job_id}/retry",
    operation_id="retry_job",
    summary="Queue a failed or cancelled job again",
    status_code=202,
    responses=problems(404, 409),
)
def retry_job(app_state: AppStateDep, token: Caller, job_id: JobId) -> JobView:
    """The job continues from its last checkpoint."""
    return app_state.dispatch.retry(job_id, token.id, functools.partial(_view, app_state))


def _accepted(job: Job) -> StoredResponse:
    """The answer to a submitted job."""
    headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": _POLL_AGAIN_S}
    return StoredResponse(202, headers, JobView.of(job, []).model_dump(mode="json"))


def _view(app_state: AppState, session: Session, job: Job) -> JobView:
    session.refresh(job)
    outcome = app_state.promotions.outcomes(session, [job]).get(job.id)
    jobs = JobRepository(session)
    return JobView.of(job, jobs.attempts(job.id), seats=jobs.seats(job), outcome=outcome)
