"""Deletes: data sets, jobs, exports, models, versions, labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from app.api.deps import (
    AppState,
    AppStateDep,
    Caller,
    DatasetReference,
    ExportId,
    JobId,
    LabelName,
    ModelName,
    VersionNumber,
    problems,
)
from app.api.etag import expected_revision
from app.api.schemas.deletion import DeletionView
from app.http.auth import TokenInfo
from app.registry.audit import AuditRepository
from app.registry.datasets import DatasetRepository
from app.registry.deletion import Deletion, DeletionRepository

router = APIRouter()

DryRun = Annotated[
    bool, Query(description="Delete nothing; answer what would be removed and what needs it still (200, never 409).")
]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    **problems(404, 409),
    200: {"model": DeletionView, "description": "With `dry_run`: what would be removed, and what stands in the way."},
}


def _delete(
    app_state: AppState, token: TokenInfo, dry_run: bool, plan: Callable[[DeletionRepository], Deletion]
) -> Response:
    """Carries out a deletion, or tells what it would do."""
    with app_state.database.session() as session:
        deletion = plan(DeletionRepository(session))
        if dry_run:
            view = DeletionView.of(deletion)
            return Response(view.model_dump_json(), media_type="application/json")
        deletion.apply()
        AuditRepository(session).add(token.id, f"{deletion.kind}.delete", deletion.id, deletion.removes)
    return Response(status_code=204)


@router.delete(
    "/v1/datasets/{dataset_id}",
    operation_id="delete_dataset",
    summary="Delete a data set",
    status_code=204,
    responses=_RESPONSES,
    tags=["datasets"],
)
def delete_dataset(
    app_state: AppStateDep, token: Caller, dataset_id: DatasetReference, dry_run: DryRun = False
) -> Response:
    """409 while a job that has not ended or a version needs it. A name is taken where one data set has it."""

    def plan(deletions: DeletionRepository) -> Deletion:
        row = DatasetRepository(deletions.session).named(dataset_id, alone=True)
        return deletions.dataset(row.id)

    return _delete(app_state, token, dry_run, plan)


@router.delete(
    "/v1/jobs/{job_id}",
    operation_id="delete_job",
    summary="Delete a job that has ended",
    status_code=204,
    responses=_RESPONSES,
    tags=["jobs"],
)
def delete_job(app_state: AppStateDep, token: Caller, job_id: JobId, dry_run: DryRun = False) -> Response:
    """With its attempts, logs, metric series, checkpoints, evaluations, predictions and exports. 409 while it runs or
    waits, while a job that has not ended uses its checkpoints, and while there is a version of them."""
    return _delete(app_state, token, dry_run, lambda deletions: deletions.job(job_id))


@router.delete(
    "/v1/exports/{export_id}",
    operation_id="delete_export",
    summary="Delete an export that is no version",
    status_code=204,
    responses=_RESPONSES,
    tags=["jobs"],
)
def delete_export(app_state: AppStateDep, token: Caller, export_id: ExportId, dry_run: DryRun = False) -> Response:
    """409 while a version is made of it: delete that, and the export goes with it."""
    return _delete(app_state, token, dry_run, lambda deletions: deletions.export(export_id))


@router.delete(
    "/v1/models/{model}",
    operation_id="delete_model",
    summary="Delete a model with its versions",
    status_code=204,
    responses=_RESPONSES,
    tags=["models"],
)
def delete_model(app_state: AppStateDep, token: Caller, model: ModelName, dry_run: DryRun = False) -> Response:
    """With its versions and their exports; jobs and evaluations stay. 409 while it has labels or jobs that have not
    ended."""
    return _delete(app_state, token, dry_run, lambda deletions: deletions.model(model))


@router.delete(
    "/v1/models/{model}/versions/{version}",
    operation_id="delete_version",
    summary="Delete a version",
    status_code=204,
    responses=_RESPONSES,
    tags=["models"],
)
def delete_version(
    app_state: AppStateDep, token: Caller, model: ModelName, version: VersionNumber, dry_run: DryRun = False
) -> Response:
    """With its export. 409 while a label sends requests to it or a release of it goes on. Its number is not given
    again."""
    return _delete(app_state, token, dry_run, lambda deletions: deletions.version(model, version))


@router.delete(
    "/v1/models/{model}/labels/{label}",
    operation_id="delete_label",
    summary="Delete a label",
    status_code=204,
    responses={**_RESPONSES, **problems(412)},
    tags=["models"],
)
def delete_label(
    app_state: AppStateDep,
    token: Caller,
    model: ModelName,
    label: LabelName,
    dry_run: DryRun = False,
    if_match: Annotated[str | None, Header(max_length=200, description="The ETag that you saw.")] = None,
) -> Response:
    """The version that it points to stays. 409 while a release moves it. Without `latest` a model answers only by
    version or another label."""
    expected = expected_revision(if_match, None)
    return _delete(app_state, token, dry_run, lambda deletions: deletions.label(model, label, expected))
