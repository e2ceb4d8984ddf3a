"""Serving settings of one model over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from app.api.deps import AppState, AppStateDep, Caller, JsonOnly, ModelName, problems
from app.api.etag import ETAG, etag, expected_revision
from app.api.schemas.model_settings import ServingInForce, ServingUpdate, ServingView
from app.api.strict_route import StrictRoute
from app.errors import InvalidInput
from app.registry.models import ModelRepository
from app.registry.serving_settings import ServingSettingsRepository
from app.registry.tables import Model
from app.serving.model_limits import DEFAULT_PRIORITY, TENSORFLOW

router = APIRouter(tags=["models"], route_class=StrictRoute)


@router.get(
    "/v1/models/{model}/serving",
    operation_id="get_serving_settings",
    summary="How a model is served",
    responses={**problems(404), 200: ETAG},
)
def get_serving_settings(app_state: AppStateDep, model: ModelName, response: Response) -> ServingView:
    with app_state.database.read() as session:
        return _view(app_state, ModelRepository(session).get(model), response)


@router.put(
    "/v1/models/{model}/serving",
    operation_id="set_serving_settings",
    summary="Set how a model is served",
    responses={**problems(404, 409, 412), 200: ETAG},
    dependencies=[JsonOnly],
)
def set_serving_settings(
    app_state: AppStateDep,
    token: Caller,
    model: ModelName,
    body: ServingUpdate,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=200, description="The ETag that you saw.")] = None,
) -> ServingView:
    """Takes the place of all that was set before: what is left out or null is the service's again. All lanes of all
    hosts follow within `SERVING_POLL_S`, versions that no label points to within two seconds; nothing is restarted."""
    _check_bounds(app_state, body)
    with app_state.database.session() as session:
        row = ServingSettingsRepository(session).put(
            model, body.model_dump(exclude_none=True), expected_revision(if_match, None), token.id
        )
        return _view(app_state, row, response)


def _check_bounds(app_state: AppState, body: ServingUpdate) -> None:
    """Raises InvalidInput: what is above the service's setting would have no effect."""
    settings = app_state.settings
    for name, most, limit in (
        ("batch_rows", settings.predict_max_batch_rows, "PREDICT_MAX_BATCH_ROWS"),
        ("queue_rows", settings.predict_max_queue_rows, "PREDICT_MAX_QUEUE_ROWS"),
    ):
        given = getattr(body, name)
        if given is not None and given > most:
            raise InvalidInput.at(f"/{name}", f"It must be at most {most}, which is the service's {limit}.")


def _view(app_state: AppState, row: Model, response: Response) -> ServingView:
    response.headers["ETag"] = etag(row.serving_revision)
    names = ServingUpdate.model_fields
    own: dict[str, Any] = {name: (row.serving or {}).get(name) for name in names}
    settings = app_state.settings
    service: dict[str, Any] = {
        "batch_rows": settings.predict_max_batch_rows,
        "queue_rows": settings.predict_max_queue_rows,
        "timeout_s": settings.predict_timeout_s,
        "memory_bytes": settings.predict_memory_bytes // app_state.lanes()[1],
        "priority": DEFAULT_PRIORITY,
        "lanes": app_state.lanes()[1],
        "engine": TENSORFLOW,
    }
    in_force = service | {name: value for name, value in own.items() if value is not None}
    for name in ("batch_rows", "queue_rows", "memory_bytes", "lanes"):
        in_force[name] = min(in_force[name], service[name])
    return ServingView(model=row.name, **own, in_force=ServingInForce(**in_force), revision=row.serving_revision)
