"""Whether the process lives, whether it can work, and what it counts."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.deps import Service, ServiceDep, problems
from app.api.schemas.base import View
from app.errors import Unavailable
from app.registry.db import revision_state

router = APIRouter(tags=["operations"])

_REVISIONS = {
    "behind": "The database has not been migrated yet.",
    "ahead": "The database belongs to a newer release of the service. Start that one.",
    "empty": "The database has no tables yet.",
}


class Alive(View):
    status: Literal["ok"]


class Ready(View):
    status: Literal["ok", "degraded"]
    database: Literal["ok"]
    broker: Literal["ok", "down"]


@router.get("/healthz", operation_id="health", summary="The process lives")
async def health() -> Alive:
    return Alive(status="ok")


@router.get("/readyz", operation_id="ready", summary="The service can work", responses=problems(503))
def ready(service: ServiceDep) -> Ready:
    """`degraded`: the broker is down; jobs are taken all the same and start when it is back. 503 only when the database
    or its migrations are not right. Having no models yet is ready."""
    if service.not_ready:
        raise Unavailable(service.not_ready)
    state = revision_state(service.database.engine)
    if state != "ok":
        raise Unavailable(_REVISIONS[state])
    broker = service.queue.ping()
    return Ready(status="ok" if broker else "degraded", database="ok", broker="ok" if broker else "down")


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Counters for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_metrics(service: ServiceDep) -> PlainTextResponse:
    return PlainTextResponse(_exposition(service), media_type=CONTENT_TYPE_LATEST)


def _exposition(service: Service) -> bytes:
    return generate_latest(service.metrics)
