"""Jobs side by side over HTTP."""

from __future__ import annotations

from app.api.job_compare import MOST_POINTS, thinned
from app.registry.evaluations import EvaluationRepository
from app.registry.metric_points import MetricRepository
from tests.api.conftest import Api
from tests.repositories import attempts


def test_jobs_are_compared_by_what_differs_what_was_measured_and_their_curves(shared_api: Api) -> None:
    first, second = shared_api.submit(), shared_api.submit(train={"max_steps": 20}, model="other")
    with shared_api.service.database.session() as session:
        for number, job in enumerate((first, second), start=1):
            assert attempts(session).claim(job, 0, "w", 60)
            assert MetricRepository(session).add_points(job, 1, [("loss", step, step / number) for step in (1, 2)])
            for step in (5, 10):
                measured = {"accuracy": step * number / 100, "confusion": [[1]]}
                EvaluationRepository(session).add(
                    job, 1, train_job_id=job, step=step, metrics=measured, split="holdout"
                )

    found = shared_api.http.get("/v1/jobs/compare", params={"ids": [second, first]}).json()

    assert [job["id"] for job in found["jobs"]] == [second, first]
    rows = {row["name"]: row["values"] for row in found["differences"]}
    assert (rows["/train/max_steps"], rows["/model"]) == ([20, 10], ["other", "things"])
    assert "/estimator/type" not in rows
    assert found["metrics"] == [{"name": "eval (holdout) accuracy", "values": [0.2, 0.1]}]
    assert found["series"]["loss"] == [
        [{"step": 1, "value": 0.5}, {"step": 2, "value": 1.0}],
        [{"step": 1, "value": 1.0}, {"step": 2, "value": 2.0}],
    ]


def test_what_cannot_be_compared_is_refused(shared_api: Api) -> None:
    job = shared_api.submit()
    for ids, status in (([job], 422), ([job, job], 422), ([job, "x"], 422), ([job, job[:-4] + "zzzz"], 404)):
        assert shared_api.http.get("/v1/jobs/compare", params={"ids": ids}).status_code == status


def test_long_curves_keep_their_spikes() -> None:
    points: list[tuple[int, float | None]] = [(step, 1.0) for step in range(100_000)]
    points[54_321] = (54_321, 99.0)
    points[60_000] = (60_000, None)

    found = thinned(points)

    assert len(found) <= MOST_POINTS
    assert (54_321, 99.0) in [(point.step, point.value) for point in found]
    assert [point.step for point in found] == sorted({point.step for point in found})
