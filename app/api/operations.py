"""For the operator: the audit, the workers, and draining them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import AppStateDep, Caller, PageSize, PageToken
from app.api.schemas.token import AuditList, AuditView, Drained
from app.api.schemas.worker import WorkerList, WorkerView
from app.ids import NAME_PATTERN
from app.registry.audit import AuditRepository
from app.registry.jobs.repository import JobRepository
from app.registry.workers import WorkerRepository

router = APIRouter(tags=["operations"])


@router.get("/v1/audit", operation_id="list_audit", summary="Audit log, newest first")
def list_audit(app_state: AppStateDep, page_size: PageSize = 50, page_token: PageToken = None) -> AuditList:
    with app_state.database.read() as session:
        rows, cursor = AuditRepository(session).list(page_size=page_size, after=page_token)
    return AuditList(entries=[AuditView.of(row) for row in rows], next_page_token=cursor)


@router.get("/v1/workers", operation_id="list_workers", summary="Workers, by name")
def list_workers(app_state: AppStateDep) -> WorkerList:
    """What each serves, with which devices, what it runs now, and when it last reported."""
    with app_state.database.read() as session:
        found = WorkerRepository(session).list()
    return WorkerList(workers=[WorkerView.of(worker) for worker in found])


@router.post("/v1/drain", operation_id="drain", summary="Ask running jobs to go back to the queue", status_code=202)
def drain(
    app_state: AppStateDep,
    token: Caller,
    queue: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only of this queue.")] = None,
) -> Drained:
    """Each running job checkpoints and waits again in its place, for example before an upgrade of its worker. Nothing
    is lost and no attempt is counted."""
    with app_state.database.session() as session:
        asked = JobRepository(session).request_drain(queue=queue)
        AuditRepository(session).add(token.id, "jobs.drain", queue or "", {"jobs": asked})
    return Drained(jobs=asked)
