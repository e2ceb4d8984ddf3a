"""Models, their versions and labels, in TensorFlow Serving's words and ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.deps import (
    DATASET_PATTERN,
    AppState,
    AppStateDep,
    Caller,
    JsonOnly,
    LabelName,
    ModelName,
    PageSize,
    PageToken,
    VersionNumber,
    problems,
)
from app.api.etag import ETAG, etag, expected_revision
from app.api.request_sample import request_sample
from app.api.schemas.job import EvaluationView
from app.api.schemas.model import (
    CanaryView,
    EngineView,
    LabelUpdate,
    LabelView,
    Metadata,
    ModelEvaluationList,
    ModelList,
    ModelStatus,
    ModelSummary,
    StatusError,
    VersionEvaluation,
    VersionStatus,
    VersionView,
)
from app.api.schemas.view import must_time
from app.api.serving_metadata import read_metadata
from app.api.strict_route import StrictRoute
from app.jobs.state import VersionState
from app.registry.arm_counts import ArmCountRepository
from app.registry.datasets import DatasetRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.exports import ExportRepository
from app.registry.models import WHOLE, Division, ModelRepository
from app.registry.release_evidence import arm
from app.registry.tables import Label, Version
from app.releases.counts import Counts
from app.serving.split import KEY_HEADER

router = APIRouter(tags=["models"], route_class=StrictRoute)

LATEST = "latest"
_SHOWN = {
    VersionState.STORED: "START",
    VersionState.STAGED: "LOADING",
    VersionState.AVAILABLE: "AVAILABLE",
    VersionState.FAILED: "END",
    VersionState.REFUSED: "END",
}
_MOST_STATES = 100


@router.get("/v1/models", operation_id="list_models", summary="List models")
def list_models(
    app_state: AppStateDep,
    page_size: PageSize = 50,
    page_token: PageToken = None,
    states: Annotated[bool, Query(description="Each model's versions and their states with it.")] = False,
) -> ModelList:
    with app_state.database.read() as session:
        rows, cursor = ModelRepository(session).list(page_size=page_size, after=page_token)
        names = [row.name for row in rows]
        labels = ModelRepository(session).labels_by_model(names)
        versions = ModelRepository(session).versions_by_model(names, most=_MOST_STATES) if states else {}
    models = [
        ModelSummary(
            name=row.name,
            labels=labels.get(row.name, {}),
            live_versions=sorted(set(labels.get(row.name, {}).values())),
            created_at=must_time(row.created_at),
            model_version_status=[_version_status(one) for one in versions.get(row.name, [])] if states else None,
        )
        for row in rows
    ]
    return ModelList(models=models, next_page_token=cursor)


@router.get(
    "/v1/models/{model}",
    operation_id="get_model",
    summary="Status of a model",
    responses=problems(404),
)
def get_model(
    app_state: AppStateDep, model: ModelName, page_size: PageSize = 100, page_token: PageToken = None
) -> ModelStatus:
    """All versions, newest first."""
    with app_state.database.read() as session:
        ModelRepository(session).get(model)
        rows, cursor = ModelRepository(session).versions(model, page_size=page_size, after=page_token)
        return _status(session, model, rows, cursor)


@router.get(
    "/v1/models/{model}/evaluations",
    operation_id="compare_versions",
    summary="What was measured of a model's versions, to compare them",
    responses=problems(404),
)
def list_evaluations(
    app_state: AppStateDep,
    model: ModelName,
    dataset: Annotated[
        str | None, Query(pattern=DATASET_PATTERN, description="Only on this data set, by id or name.")
    ] = None,
) -> ModelEvaluationList:
    """Newest version first, then by data set and name; at most 1,000. A job of type `evaluate` measures any version on
    any data set, so that two versions can be compared on the same rows."""
    with app_state.database.read() as session:
        ModelRepository(session).get(model)
        dataset_id = DatasetRepository(session).named(dataset).id if dataset is not None else None
        rows = EvaluationRepository(session).of_model(model, dataset_id=dataset_id)
    return ModelEvaluationList(
        evaluations=[VersionEvaluation(version=number, **EvaluationView.of(row).model_dump()) for number, row in rows]
    )


@router.get(
    "/v1/models/{model}/versions/{version}",
    operation_id="get_version",
    summary="Status and lineage of a version",
    responses=problems(404),
)
def get_version(app_state: AppStateDep, model: ModelName, version: VersionNumber) -> ModelStatus:
    with app_state.database.read() as session:
        status = _one(session, model, ModelRepository(session).version(model, version))
    if (engine := app_state.engine_of(model, version)) is not None:
        status.engine = EngineView(**engine)
    return status


@router.get(
    "/v1/models/{model}/labels/{label}",
    operation_id="get_label",
    summary="Status and lineage of the version behind a label",
    responses={**problems(404), 200: ETAG},
)
def get_label(app_state: AppStateDep, model: ModelName, label: LabelName, response: Response) -> ModelStatus:
    with app_state.database.read() as session:
        row = ModelRepository(session).label(model, label)
        response.headers["ETag"] = etag(row.revision)
        status = _one(session, model, ModelRepository(session).version(model, row.version))
        status.previous = row.previous
        status.canary = _canary(row)
        status.shadow = row.shadow
        if row.canary is not None or row.shadow is not None:
            roles = {row.version: "live", row.canary: "canary", row.shadow: "shadow"}
            sums = ArmCountRepository(session).sums(model, label, row.revision)
            status.arms = [
                arm(role, number, sums.get(number) or Counts()) for number, role in roles.items() if number is not None
            ]
        return status


@router.put(
    "/v1/models/{model}/labels/{label}",
    operation_id="set_label",
    summary="Promote a version, or roll back",
    responses={**problems(404, 409, 412), 200: ETAG},
    dependencies=[JsonOnly],
)
async def set_label(
    app_state: AppStateDep,
    token: Caller,
    model: ModelName,
    label: LabelName,
    body: LabelUpdate,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=200, description="The ETag that you saw.")] = None,
    if_none_match: Annotated[str | None, Header(max_length=200, description="`*`: only if there is none yet.")] = None,
) -> LabelView:
    """Only to an AVAILABLE version: one that was loaded and warmed up (409). With `If-Match`: only if no other request
    has changed the label since (412). With `canary` the label divides its requests until it is set again. The answer
    comes when all lanes of this host follow, or after two seconds, and says so (`pending`)."""
    expected = expected_revision(if_match, if_none_match)
    view = await run_in_threadpool(_set_label, app_state, token.id, model, label, body, expected)
    view.pending = not await app_state.flips.followed(model, label, view.revision)
    response.headers["ETag"] = etag(view.revision)
    return view


def _set_label(
    app_state: AppState, token_id: str, model: str, label: str, body: LabelUpdate, expected: int | None
) -> LabelView:
    division = WHOLE
    if body.canary is not None:
        division = Division(body.canary.version, body.canary.per_mille, body.canary.by)
    division = replace(division, shadow=body.shadow)
    with app_state.database.session() as session:
        row = ModelRepository(session).set_label(model, label, body.version, expected, token_id, division=division)
        session.refresh(row)
        return LabelView(
            model=model,
            label=label,
            version=row.version,
            canary=_canary(row),
            shadow=row.shadow,
            previous=row.previous,
            revision=row.revision,
            updated_at=must_time(row.updated_at),
            pending=True,
        )


@router.post(
    "/v1/models/{model}/versions/{version}/load",
    operation_id="load_version",
    summary="Load a version that was only stored, or failed to load",
    status_code=202,
    responses=problems(404, 409),
)
def load_version(app_state: AppStateDep, model: ModelName, version: VersionNumber) -> ModelStatus:
    """It is loaded and warmed up beside what serves; when it is AVAILABLE a label can be set to it."""
    with app_state.database.session() as session:
        return _one(session, model, ModelRepository(session).stage(model, version))


@router.get(
    "/v1/models/{model}/metadata",
    operation_id="get_metadata",
    summary="Signatures and features of the version behind `latest`",
    responses=problems(404),
)
def get_metadata(app_state: AppStateDep, request: Request, model: ModelName) -> Metadata:
    return get_label_metadata(app_state, request, model, LATEST)


@router.get(
    "/v1/models/{model}/versions/{version}/metadata",
    operation_id="get_version_metadata",
    summary="Signatures and features of a version",
    responses=problems(404),
)
def get_version_metadata(
    app_state: AppStateDep, request: Request, model: ModelName, version: VersionNumber
) -> Metadata:
    with app_state.database.read() as session:
        row = ModelRepository(session).version(model, version)
        export = ExportRepository(session).get(row.export_id)
    with app_state.storage.reading(export.path, export.digest) as directory:
        found = read_metadata(directory, row)
    return Metadata(**found, usage=request_sample(str(request.base_url), model, version, found))


@router.get(
    "/v1/models/{model}/labels/{label}/metadata",
    operation_id="get_label_metadata",
    summary="Signatures and features of the version behind a label",
    responses=problems(404),
)
def get_label_metadata(app_state: AppStateDep, request: Request, model: ModelName, label: LabelName) -> Metadata:
    with app_state.database.read() as session:
        version = ModelRepository(session).label(model, label).version
    return get_version_metadata(app_state, request, model, version)


def _one(session: Session, model: str, row: Version) -> ModelStatus:
    """Status of one version, with its lineage."""
    session.refresh(row)
    status = _status(session, model, [row], None)
    export = ExportRepository(session).get(row.export_id)
    evaluations = EvaluationRepository(session).of_checkpoint(export.train_job_id, export.step)
    status.versions[0].lineage = row.lineage
    status.versions[0].evaluations = [EvaluationView.of(evaluation) for evaluation in evaluations]
    return status


def _status(session: Session, model: str, rows: Iterable[Version], cursor: str | None) -> ModelStatus:
    labels = ModelRepository(session).labels_by_model([model]).get(model, {})
    rows = list(rows)
    return ModelStatus(
        model_version_status=[_version_status(row) for row in rows],
        name=model,
        labels=labels,
        versions=[_version(row, labels) for row in rows],
        next_page_token=cursor,
    )


def _version_status(row: Version) -> VersionStatus:
    failed = row.state in {VersionState.FAILED, VersionState.REFUSED}
    error = StatusError(error_code="FAILED_PRECONDITION" if failed else "OK", error_message=row.reason or "")
    return VersionStatus(version=str(row.number), state=_SHOWN[VersionState(row.state)], status=error)


def _version(row: Version, labels: dict[str, int]) -> VersionView:
    return VersionView(
        version=row.number,
        state=row.state,
        reason=row.reason,
        lineage_id=row.lineage_id,
        job=row.job_id,
        export=row.export_id,
        labels=sorted(label for label, number in labels.items() if number == row.number),
        created_at=must_time(row.created_at),
    )


def _canary(row: Label) -> CanaryView | None:
    if row.canary is None:
        return None
    return CanaryView(version=row.canary, per_mille=row.per_mille or 0, by=row.split_by or KEY_HEADER)
