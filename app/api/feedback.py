"""Kept requests, the labels that come back, and what they say of a model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from app import kept_requests
from app.api.datasets import store_upload
from app.api.deps import AppState, AppStateDep, Caller, IdempotentRequestDep, JsonOnly, ModelName, problems
from app.api.schemas.dataset import DatasetView
from app.api.schemas.feedback import (
    FeedbackDataset,
    FeedbackRequest,
    FeedbackView,
    KeepUpdate,
    KeepView,
    QualityView,
)
from app.api.strict_route import StrictRoute
from app.api.upload import UploadForm
from app.errors import Conflict, InvalidInput, NotFound
from app.ids import new_id
from app.registry.feedback import FeedbackRepository, Joined
from app.registry.models import ModelRepository
from app.releases.quality import Quality

router = APIRouter(tags=["feedback"], route_class=StrictRoute)

_MOST_SLICES = 20
_DAY_S = 86_400.0
Days = Annotated[float, Query(gt=0, le=3660, description="Only predictions of the last `days` days.")]


@router.get(
    "/v1/models/{model}/keep", operation_id="get_keep", summary="Which requests are kept", responses=problems(404)
)
def get_keep(app_state: AppStateDep, model: ModelName) -> KeepView:
    with app_state.database.read() as session:
        keep = ModelRepository(session).get(model).keep or KeepUpdate(per_mille=0).model_dump()
        files, rows, size = FeedbackRepository(session).kept(model)
    return KeepView(model=model, files=files, rows=rows, kept_bytes=size, **keep)


@router.put(
    "/v1/models/{model}/keep",
    operation_id="set_keep",
    summary="Keep a share of requests and answers, or none",
    responses=problems(404),
    dependencies=[JsonOnly],
)
def set_keep(app_state: AppStateDep, token: Caller, model: ModelName, body: KeepUpdate) -> KeepView:
    """None are kept unless this asks for it. What is kept stays for its days."""
    with app_state.database.session() as session:
        FeedbackRepository(session).set_keep(model, body.model_dump() if body.per_mille else None, token.id)
    return get_keep(app_state, model)


@router.post(
    "/v1/models/{model}/feedback",
    operation_id="send_feedback",
    summary="Say what predictions should have been",
    responses=problems(404),
    dependencies=[JsonOnly],
)
def send_feedback(app_state: AppStateDep, model: ModelName, body: FeedbackRequest) -> FeedbackView:
    """Late, early and repeated labels are taken; the last one of a prediction counts. A token with the scope `predict`
    may."""
    labels = {_with_index(item.prediction_id): item.label for item in body.items}
    with app_state.database.session() as session:
        kept = FeedbackRepository(session).add_labels(model, labels)
    return FeedbackView(stored=len(labels), kept=kept)


@router.get(
    "/v1/models/{model}/quality",
    operation_id="get_quality",
    summary="How good predictions were, by the labels that came back",
    responses=problems(404),
)
def get_quality(
    app_state: AppStateDep,
    model: ModelName,
    days: Days = 30.0,
    by: Annotated[
        str | None,
        Query(max_length=200, description="A feature; the response also has the quality for each of its values."),
    ] = None,
) -> QualityView:
    with app_state.database.read() as session:
        ModelRepository(session).get(model)
        rows = FeedbackRepository(session).joined(model, since=time.time() - days * _DAY_S)
    instances = _instances(app_state, rows) if by is not None else {}
    found: dict[int, list[Joined]] = defaultdict(list)
    for row in rows:
        found[row.version].append(row)
    versions = []
    for number in sorted(found, reverse=True):
        told = {"version": number, **_sum(found[number]), "days": _groups(found[number], _day)}
        if by is not None:
            told["slices"] = _groups(found[number], lambda row: _value(instances.get(row.id), by))[:_MOST_SLICES]
        versions.append(told)
    return QualityView(model=model, versions=versions)


@router.post(
    "/v1/models/{model}/feedback/dataset",
    operation_id="create_feedback_dataset",
    summary="Make a data set from what came back",
    status_code=201,
    response_model=DatasetView,
    responses=problems(404, 409),
    dependencies=[JsonOnly],
)
async def create_feedback_dataset(
    app_state: AppStateDep, model: ModelName, body: FeedbackDataset, request: IdempotentRequestDep
) -> JSONResponse:
    """Kept instances with their labels, read as an uploaded file is. Redacted values are missing ones."""
    spool = app_state.storage.dataset_key(new_id("ds"))
    file = app_state.storage.make(spool) / "upload"
    try:
        await run_in_threadpool(_write_rows, app_state, model, body, file)
        form = UploadForm(fields={"name": body.name}, filename="feedback.jsonl")
        async with app_state.ingesting:
            return await run_in_threadpool(store_upload, app_state, form, spool, request)
    finally:
        await asyncio.shield(asyncio.to_thread(app_state.storage.drop, spool))


def _write_rows(app_state: AppState, model: str, body: FeedbackDataset, file: Path) -> None:
    """Raises NotFound, Conflict, InvalidInput."""
    with app_state.database.read() as session:
        ModelRepository(session).get(model)
        since = time.time() - body.days * _DAY_S
        rows = FeedbackRepository(session).joined(model, since=since, version=body.version)
    instances = _instances(app_state, rows)
    written = 0
    with file.open("w", encoding="utf-8") as out:
        for row in reversed(rows):
            instance = instances.get(row.id)
            if not isinstance(instance, dict):
                continue
            if body.label in instance:
                raise InvalidInput.at("/label", "A feature has that name; give the labels another column.")
            out.write(json.dumps(instance | {body.label: row.label}) + "\n")
            written += 1
    if not written:
        raise Conflict("No kept prediction of that time has a label yet.")


def _instances(app_state: AppState, rows: list[Joined]) -> dict[str, Any]:
    by_file: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_file[row.path].add(row.id)
    found: dict[str, Any] = {}
    for path, ids in by_file.items():
        with contextlib.suppress(NotFound), app_state.storage.reading(path) as file:
            found.update(kept_requests.read(file, ids))
    return found


def _with_index(prediction_id: str) -> str:
    return prediction_id if "." in prediction_id else f"{prediction_id}.0"


def _sum(rows: list[Joined]) -> dict[str, Any]:
    quality = Quality()
    for row in rows:
        quality.add(row.predicted, row.label)
    return quality.row()


def _groups(rows: list[Joined], of: Any) -> list[dict[str, Any]]:
    """Quality by what `of` says of a row; the largest groups first, days in their order."""
    groups: dict[Any, list[Joined]] = defaultdict(list)
    for row in rows:
        groups[of(row)].append(row)
    order = sorted(groups, key=(lambda name: name) if of is _day else (lambda name: (-len(groups[name]), str(name))))
    return [{"value": name, **_sum(groups[name])} for name in order]


def _day(row: Joined) -> str:
    return datetime.fromtimestamp(row.at, UTC).date().isoformat()


def _value(instance: Any, feature: str) -> Any:
    value = instance.get(feature) if isinstance(instance, dict) else None
    return value if isinstance(value, str | int | float | bool) or value is None else json.dumps(value)
