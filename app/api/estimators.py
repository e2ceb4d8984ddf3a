"""Route of the estimators, heads, columns and optimizers that a job can use."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.deps import AppStateDep
from app.api.schemas.token import CatalogueView, EstimatorsView
from app.jobs.estimators import document
from app.registry.model_fn_catalogue import CatalogueRepository

router = APIRouter(tags=["jobs"])


@router.get("/v1/estimators", operation_id="list_estimators", summary="Estimators and their arguments, as JSON schemas")
def list_estimators(app_state: AppStateDep) -> EstimatorsView:
    """`$defs` holds the schema of each estimator, head, column, optimizer and schedule by its name. An entry of the
    catalogue is used as `{"type": "Estimator", "args": {"model_fn": NAME, "params": {…}}}`."""
    content = document()
    with app_state.database.read() as session:
        catalogue = [
            CatalogueView(name=row.name, description=row.description, params_schema=row.params_schema)
            for row in CatalogueRepository(session).list()
        ]
    return EstimatorsView(
        estimators=content["estimators"],
        heads=content["heads"],
        columns=content["columns"],
        optimizers=content["optimizers"],
        schedules=content["schedules"],
        definitions=content["$defs"],
        catalogue=catalogue,
    )
