"""Releases: a plan that brings a version behind a label, and how far it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.deps import (
    AppState,
    AppStateDep,
    Caller,
    IdempotentRequestDep,
    JsonOnly,
    ModelName,
    PageSize,
    PageToken,
    problems,
    respond,
)
from app.api.schemas.release import (
    ReleaseDetail,
    ReleaseEventView,
    ReleaseList,
    ReleaseRequest,
    ReleaseView,
)
from app.api.schemas.view import must_time
from app.api.strict_route import StrictRoute
from app.registry.idempotency import StoredResponse
from app.registry.models import ModelRepository
from app.registry.release_evidence import look_at
from app.registry.release_tables import Release
from app.registry.releases import ReleaseRepository
from app.releases.release_plan import ACTIVE

router = APIRouter(tags=["releases"], route_class=StrictRoute)

ReleaseId = Annotated[
    str,
    Path(
        pattern="^rel_[0-9a-hjkmnp-tv-z]{26}$",
        description="Id of a release.",
        examples=["rel_01k9zv0q2m8x4t6b3c5d7e9f1g"],
    ),
]


@router.post(
    "/v1/models/{model}/releases",
    operation_id="create_release",
    summary="Release a version step by step",
    status_code=201,
    responses=problems(404, 409),
    response_model=ReleaseDetail,
    dependencies=[JsonOnly],
)
def create_release(
    app_state: AppStateDep, token: Caller, model: ModelName, body: ReleaseRequest, once: IdempotentRequestDep
) -> object:
    """It goes on by itself while its guards hold, and back to the version from before when one does not. A label has
    one release at a time (409). Setting the label by hand ends it."""

    def work() -> StoredResponse:
        releases = ReleaseRepository(session)
        release = releases.create(model, body.label, body.version, body.plan(), token.id)
        return StoredResponse(201, {}, _detail(session, release).model_dump())

    with app_state.database.session() as session:
        answer, _ = once.run(session, work)
    return respond(answer)


@router.get(
    "/v1/models/{model}/releases",
    operation_id="list_releases",
    summary="List a model's releases",
    responses=problems(404),
)
def list_releases(
    app_state: AppStateDep, model: ModelName, page_size: PageSize = 50, page_token: PageToken = None
) -> ReleaseList:
    """Newest first."""
    with app_state.database.read() as session:
        ModelRepository(session).get(model)
        rows, cursor = ReleaseRepository(session).list(model, page_size=page_size, after=page_token)
        return ReleaseList(releases=[ReleaseView.copy_of(row) for row in rows], next_page_token=cursor)


@router.get(
    "/v1/models/{model}/releases/{release}",
    operation_id="get_release",
    summary="A release with its evidence",
    responses=problems(404),
)
def get_release(app_state: AppStateDep, model: ModelName, release: ReleaseId) -> ReleaseDetail:
    with app_state.database.read() as session:
        return _detail(session, ReleaseRepository(session).get(model, release))


@router.post(
    "/v1/models/{model}/releases/{release}/pause",
    operation_id="pause_release",
    summary="Keep a release at its step",
    responses=problems(404, 409),
)
def pause_release(app_state: AppStateDep, token: Caller, model: ModelName, release: ReleaseId) -> ReleaseDetail:
    """Its guards still hold: a broken one rolls it back."""
    with app_state.database.session() as session:
        return _detail(session, ReleaseRepository(session).pause(model, release, token.id))


@router.post(
    "/v1/models/{model}/releases/{release}/resume",
    operation_id="resume_release",
    summary="Let a paused release go on",
    responses=problems(404, 409),
)
def resume_release(app_state: AppStateDep, token: Caller, model: ModelName, release: ReleaseId) -> ReleaseDetail:
    with app_state.database.session() as session:
        return _detail(session, ReleaseRepository(session).resume(model, release, token.id))


@router.post(
    "/v1/models/{model}/releases/{release}/abort",
    operation_id="abort_release",
    summary="End a release and go back",
    responses=problems(404, 409),
)
async def abort_release(app_state: AppStateDep, token: Caller, model: ModelName, release: ReleaseId) -> ReleaseDetail:
    """All requests go to the version from before. The answer comes when all lanes of this host follow, or after two
    seconds."""
    detail, revision = await run_in_threadpool(_abort, app_state, token.id, model, release)
    await app_state.flips.followed(model, detail.label, revision)
    return detail


def _abort(app_state: AppState, token_id: str, model: str, release: str) -> tuple[ReleaseDetail, int]:
    with app_state.database.session() as session:
        ended = ReleaseRepository(session).abort(model, release, token_id, "Aborted by request.")
        return _detail(session, ended), ended.label_revision


def _detail(session: Session, release: Release) -> ReleaseDetail:
    events = [
        ReleaseEventView.copy_of(event, at=must_time(event.at))
        for event in ReleaseRepository(session).events(release.id)
    ]
    if release.state not in ACTIVE:
        last = events[-1].detail if events else {}
        return ReleaseDetail.copy_of(
            release, ran_s=last.get("ran_s", release.step_s), waits_for=None,
            findings=last.get("findings", []), arms=last.get("arms", []), events=events,
        )  # fmt: skip
    look = look_at(session, release)
    return ReleaseDetail.copy_of(
        release, ran_s=look.evidence["ran_s"], waits_for=look.decision.reason,
        findings=look.evidence["findings"], arms=look.evidence["arms"], events=events,
    )  # fmt: skip
