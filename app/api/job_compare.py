"""Jobs side by side: where their specifications differ, what was measured, their curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.deps import AppStateDep, problems
from app.api.schemas.comparison import ComparedRow, Comparison
from app.api.schemas.job import JobView, Point
from app.errors import InvalidInput
from app.jobs.fields import ID_PATTERNS
from app.registry.evaluations import EvaluationRepository
from app.registry.jobs.repository import JobRepository
from app.registry.metric_points import MetricRepository

router = APIRouter(tags=["jobs"])

MOST_JOBS = 10
MOST_POINTS = 1000
_READ = 100_000

JobIds = Annotated[
    list[Annotated[str, Query(pattern=ID_PATTERNS["job"])]],
    Query(min_length=2, max_length=MOST_JOBS, description="Ids of jobs, `ids=…&ids=…`; 2 to 10, each once."),
]


@router.get(
    "/v1/jobs/compare",
    operation_id="compare_jobs",
    summary="Compare jobs: differences, metrics, curves",
    responses=problems(404),
)
def compare_jobs(app_state: AppStateDep, ids: JobIds) -> Comparison:
    """Lists of values are in the order of `ids`. `series` holds at most 1,000 points of each curve: the lowest and the
    highest of each stretch of a longer one."""
    if len(set(ids)) < len(ids):
        raise InvalidInput.at("/ids", "Name each job once.")
    with app_state.database.read() as session:
        jobs = [JobRepository(session).get(job_id) for job_id in ids]
        attempts = JobRepository(session).attempts_by_job(ids)
        outcomes = app_state.promotions.outcomes(session, jobs)
        views = [JobView.of(job, attempts.get(job.id, []), spec=False, outcome=outcomes.get(job.id)) for job in jobs]
        specs = [dict(_flat(job.spec, "")) for job in jobs]
        measured = [_measured(EvaluationRepository(session), job.id) for job in jobs]
        curves = [_curves(MetricRepository(session), job.id) for job in jobs]
    names = dict.fromkeys(name for one in curves for name in one)
    return Comparison(
        jobs=views,
        differences=[row for row in _rows(specs) if any(value != row.values[0] for value in row.values)],
        metrics=_rows(measured),
        series={name: [one.get(name, []) for one in curves] for name in names},
    )


def _rows(tables: list[dict[str, Any]]) -> list[ComparedRow]:
    names = dict.fromkeys(name for table in tables for name in table)
    return [ComparedRow(name=name, values=[table.get(name) for table in tables]) for name in names]


def _flat(value: Mapping[str, Any], path: str) -> list[tuple[str, Any]]:
    """The fields of a specification with their JSON pointers; lists are whole."""
    found: list[tuple[str, Any]] = []
    for name, inner in value.items():
        place = f"{path}/{name}"
        found += _flat(inner, place) if isinstance(inner, Mapping) and inner else [(place, inner)]
    return found


def _measured(evaluations: EvaluationRepository, job_id: str) -> dict[str, Any]:
    """The numbers of the last evaluation of each name, at the highest step."""
    found: dict[str, Any] = {}
    for row in evaluations.for_job(job_id):
        prefix = f"{row.name or 'eval'} ({row.split})"
        found |= {
            f"{prefix} {name}": value for name, value in row.metrics.items() if not isinstance(value, list | dict)
        }
    return found


def _curves(metrics: MetricRepository, job_id: str) -> dict[str, list[Point]]:
    return {name: thinned(metrics.series(job_id, name, limit=_READ)) for name in metrics.names(job_id)}


def thinned(points: list[tuple[int, float | None]]) -> list[Point]:
    """At most `MOST_POINTS` of a curve: of each stretch the lowest and the highest, so that spikes stay to be seen."""
    if len(points) <= MOST_POINTS:
        return [Point(step=step, value=value) for step, value in points]
    stretches = MOST_POINTS // 2
    kept: list[Point] = []
    for number in range(stretches):
        part = points[number * len(points) // stretches : (number + 1) * len(points) // stretches]
        finite = [point for point in part if point[1] is not None] or part[:1]
        ends = {min(finite, key=lambda point: point[1] or 0.0), max(finite, key=lambda point: point[1] or 0.0)}
        kept += [Point(step=step, value=value) for step, value in sorted(ends, key=lambda point: point[0])]
    return kept
