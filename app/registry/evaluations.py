"""What was measured, of which checkpoint, on which data."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app.ids import new_id
from app.registry.db import now
from app.registry.events import record
from app.registry.jobs.transitions import fence
from app.registry.tables import Evaluation, Export, Version


class EvaluationRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(
        self,
        job_id: str,
        attempt: int,
        *,
        train_job_id: str | None,
        step: int,
        metrics: dict[str, Any],
        name: str = "",
        dataset_id: str | None = None,
        dataset_digest: str | None = None,
        split: str = "all",
        rows: int | None = None,
    ) -> Evaluation | None:
        """Records a measurement by a job's running attempt. The same job measuring the same thing again (an attempt
        that repeats steps of a lost one) replaces it. None: fenced.

        Args:
            train_job_id: the job whose checkpoint was measured; `step`: that checkpoint's global step.
            metrics: name → number; what is not finite is stored as null.
            split: `all`, `train` or `holdout`.
            rows: how many rows were measured.
        """
        if fence(self.session, job_id, attempt) is None:
            return None
        row = self.session.scalar(
            select(Evaluation).where(
                Evaluation.job_id == job_id,
                Evaluation.train_job_id == train_job_id,
                Evaluation.step == step,
                Evaluation.name == name,
                Evaluation.dataset_id == dataset_id,
                Evaluation.split == split,
            )
        )
        if row is None:
            row = Evaluation(id=new_id("eval"), job_id=job_id, train_job_id=train_job_id, step=step, name=name)
            row.dataset_id, row.split = dataset_id, split
            self.session.add(row)
        row.dataset_digest, row.rows, row.metrics = dataset_digest, rows, metrics
        row.created_at = now()
        self.session.flush()
        told = {"id": row.id, "step": step, "name": name, "split": split, "metrics": metrics}
        record(self.session, job_id, "evaluation", told)
        return row

    def for_job(self, job_id: str) -> list[Evaluation]:
        """Made by the job, or of its checkpoints by others; by step."""
        query = select(Evaluation).where(or_(Evaluation.job_id == job_id, Evaluation.train_job_id == job_id))
        return self._ordered(query.order_by(Evaluation.step, Evaluation.created_at, Evaluation.id))

    def of_checkpoint(self, train_job_id: str, step: int) -> list[Evaluation]:
        """Of one checkpoint, on whatever data; oldest first."""
        query = select(Evaluation).where(Evaluation.train_job_id == train_job_id, Evaluation.step == step)
        return self._ordered(query.order_by(Evaluation.created_at, Evaluation.id))

    def of_model(self, model: str, *, dataset_id: str | None = None, limit: int = 1000) -> list[tuple[int, Evaluation]]:
        """Of the checkpoints that a model's versions were made from, each with the version's number; newest version
        first, then by data set, name and age.

        Args:
            dataset_id: only what was measured on that data set.
        """
        query = (
            select(Version.number, Evaluation)
            .join(Export, Export.id == Version.export_id)
            .join(Evaluation, and_(Evaluation.train_job_id == Export.train_job_id, Evaluation.step == Export.step))
            .where(Version.model == model)
        )
        if dataset_id is not None:
            query = query.where(Evaluation.dataset_id == dataset_id)
        order = Version.number.desc(), Evaluation.dataset_id, Evaluation.name, Evaluation.created_at, Evaluation.id
        return [(number, row) for number, row in self.session.execute(query.order_by(*order).limit(limit))]

    def on_dataset(self, dataset_id: str, *, limit: int = 1000) -> list[Evaluation]:
        """On one data set, of whatever model; newest first."""
        query = select(Evaluation).where(Evaluation.dataset_id == dataset_id)
        return self._ordered(query.order_by(Evaluation.created_at.desc(), Evaluation.id.desc()).limit(limit))

    def _ordered(self, query: Any) -> list[Evaluation]:
        return list(self.session.scalars(query))
