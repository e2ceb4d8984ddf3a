"""One evaluation, and the report that it made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response

from app.api import report_page
from app.api.deps import AppStateDep, EvaluationId, problems
from app.api.schemas.job import EvaluationView
from app.api.schemas.view import time_text
from app.errors import NotFound
from app.registry.evaluations import EvaluationRepository

router = APIRouter(tags=["jobs"])

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@router.get(
    "/v1/evaluations/{evaluation_id}", operation_id="get_evaluation", summary="One evaluation", responses=problems(404)
)
def get_evaluation(app_state: AppStateDep, evaluation_id: EvaluationId) -> EvaluationView:
    with app_state.database.read() as session:
        return EvaluationView.of(EvaluationRepository(session).get(evaluation_id))


@router.get(
    "/v1/evaluations/{evaluation_id}/report",
    operation_id="get_evaluation_report",
    summary="Model report of an evaluation",
    response_class=JSONResponse,
    responses={
        **problems(404),
        200: {
            "description": "By head: confusion matrix, curves, calibration, residuals, slices, worst rows, importance.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/html": {"schema": {"type": "string"}},
            },
        },
    },
)
def get_report(
    app_state: AppStateDep,
    evaluation_id: EvaluationId,
    format: Annotated[
        Literal["json", "html"], Query(description="JSON, or one page that needs nothing else.")
    ] = "json",
) -> Response:
    """`live` is the report of the version that the label `latest` serves, on the same data set and split, where there
    is one and it is another checkpoint."""
    with app_state.database.read() as session:
        repository = EvaluationRepository(session)
        evaluation = repository.get(evaluation_id)
        report = repository.report(evaluation_id)
        if report is None:
            raise NotFound(
                "The evaluation has no report: it was made by an earlier release, or of a model without one."
            )
        live = repository.live_report(evaluation)
        about = _about(evaluation)
    if format == "json":
        body: dict[str, Any] = {"evaluation": evaluation_id, **report, "live": None}
        if live is not None:
            body["live"] = {"version": live[0], "evaluation": live[1], "heads": live[2]["heads"]}
        return JSONResponse(body)
    name = "" if live is None else f"version {live[0]} (live)"
    html = report_page.page(
        report, title="Model report", about=about, live=None if live is None else live[2], live_name=name
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"})


def _about(evaluation: Any) -> list[tuple[str, str]]:
    return [
        ("evaluation", evaluation.id),
        ("checkpoint", f"{evaluation.train_job_id or evaluation.job_id}, step {evaluation.step}"),
        ("data set", f"{evaluation.dataset_id or ''} ({evaluation.split})"),
        ("made at", time_text(evaluation.created_at) or ""),
    ]
