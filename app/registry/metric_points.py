"""Series of numbers over the steps of a job: loss, steps per second, evaluation metrics …"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.registry.db import now, upsert
from app.registry.jobs.transitions import fence
from app.registry.tables import MetricPoint

NAME_LENGTH = 100


class MetricRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add_points(self, job_id: str, attempt: int, points: Iterable[tuple[str, int, float]]) -> bool:
        """Adds (name, step, value) points. A step that is there already, from an attempt that was lost, is replaced.
        What is not finite is stored as null. False: fenced."""
        if fence(self.session, job_id, attempt) is None:
            return False
        values = {(name[:NAME_LENGTH], int(step)): float(value) for name, step, value in points}
        rows = [
            {"job_id": job_id, "name": name, "step": step, "value": value if math.isfinite(value) else None}
            for (name, step), value in values.items()
        ]
        if rows:
            statement = upsert(self.session, MetricPoint).values(at=now())
            new = {"value": statement.excluded.value, "at": statement.excluded.at}
            upserts = statement.on_conflict_do_update(index_elements=["job_id", "name", "step"], set_=new)
            # One statement for one row, prepared once: compiling one for all rows took longer than running it.
            self.session.connection().execute(upserts, rows)
        return True

    def names(self, job_id: str) -> list[str]:
        """The series that a job has."""
        query = select(MetricPoint.name).where(MetricPoint.job_id == job_id).distinct().order_by(MetricPoint.name)
        return list(self.session.scalars(query))

    def series(
        self, job_id: str, name: str, *, after_step: int = -1, limit: int = 10_000
    ) -> list[tuple[int, float | None]]:
        """(step, value) of one series above `after_step`, lowest step first; the value is null where it was not
        finite."""
        query = select(MetricPoint.step, MetricPoint.value).where(
            MetricPoint.job_id == job_id, MetricPoint.name == name, MetricPoint.step > after_step
        )
        rows = self.session.execute(query.order_by(MetricPoint.step).limit(limit))
        return [(step, value) for step, value in rows]
