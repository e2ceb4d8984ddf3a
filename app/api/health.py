"""Whether the process lives, whether it can work, and what it counts."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field

from app.api.deps import AppState, AppStateDep, problems
from app.api.schemas.view import View
from app.errors import Unavailable

router = APIRouter(tags=["operations"])


class Alive(View):
    status: Literal["ok"]


class Ready(View):
    status: Literal["ok", "degraded"]
    database: Literal["ok"]
    broker: Literal["ok", "down"]
    queues_without_worker: list[str] = Field(
        description="Queues with waiting jobs that no living worker serves; at most ten."
    )
    problems: list[str] = Field(description="What does not work, a sentence each; empty when the status is `ok`.")


@router.get("/healthz", operation_id="health", summary="The process is alive")
async def health() -> Alive:
    return Alive(status="ok")


@router.get("/readyz", operation_id="ready", summary="The service can work", responses=problems(503))
async def ready(app_state: AppStateDep) -> Ready:
    """`degraded`: the broker or Ray is down, or a queue with waiting jobs has no living worker. Jobs are taken all the
    same and start later; predictions are not affected. 503 only when the database or its migrations are not right.
    Having no models yet is ready. The answer is half a second old at most, and costs no look at database or broker."""
    return current(app_state)


def current(app_state: AppState) -> Ready:
    """What was found last. Raises Unavailable."""
    if app_state.not_ready:
        raise Unavailable(app_state.not_ready)
    found = app_state.readiness.current()
    problems = list(found.problems)
    serving, wanted = app_state.lanes()
    if serving < wanted:
        problems.append(f"{serving} of {wanted} lanes of this host serve; the others are being started.")
    return Ready(
        status="degraded" if problems else "ok",
        database="ok",
        broker="ok" if found.broker else "down",
        queues_without_worker=list(found.queues_without_worker),
        problems=problems,
    )


def is_ready(app_state: AppState) -> bool:
    """Whether `current` has an answer."""
    try:
        current(app_state)
    except Unavailable:
        return False
    return True


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Counters for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(app_state: AppStateDep) -> PlainTextResponse:
    """Of all lanes of this host; what is counted by each has the label `lane` where there are several."""
    return PlainTextResponse(await app_state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
