"""Evaluations: metrics of a checkpoint on a data set."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.ids import new_id
from app.registry.db import now
from app.registry.events import record
from app.registry.jobs.transitions import fence
from app.registry.tables import Evaluation, EvaluationReport, Export, Job, Label, Version


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
        report: dict[str, Any] | None = None,
    ) -> Evaluation | None:
        """Records a measurement by a job's running attempt. The same job measuring the same thing again (an attempt
        that repeats steps of a lost one) replaces it. None: fenced.

        Args:
            train_job_id: the job whose checkpoint was measured; `step`: that checkpoint's global step.
            metrics: name → number; what is not finite is stored as null.
            split: `all`, `train` or `holdout`.
            rows: how many rows were measured.
            report: what `workers.report` made of the predictions; None leaves the evaluation without one.
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
        if report is not None:
            self.session.merge(EvaluationReport(evaluation_id=row.id, report=report))
        payload = {"id": row.id, "step": step, "name": name, "split": split, "metrics": metrics}
        record(self.session, job_id, "evaluation", payload)
        return row

    def add_report(
        self, job_id: str, attempt: int, *, step: int, name: str, report: dict[str, Any]
    ) -> Evaluation | None:
        """Adds a report to what a training job measured of its own checkpoint at `step`. None: fenced."""
        if fence(self.session, job_id, attempt) is None:
            return None
        own = Evaluation.job_id == job_id, Evaluation.train_job_id == job_id
        query = select(Evaluation).where(*own, Evaluation.step == step, Evaluation.name == name)
        row = self.session.scalars(query.order_by(Evaluation.created_at.desc(), Evaluation.id.desc()).limit(1)).one()
        self.session.merge(EvaluationReport(evaluation_id=row.id, report=report))
        return row

    def get(self, evaluation_id: str) -> Evaluation:
        """An evaluation by its id.

        Raises:
            NotFound: no such evaluation.
        """
        row = self.session.get(Evaluation, evaluation_id)
        if row is None:
            raise NotFound("There is no evaluation of that id.")
        return row

    def report(self, evaluation_id: str) -> dict[str, Any] | None:
        """The report of an evaluation; None when it was made without one."""
        row = self.session.get(EvaluationReport, evaluation_id)
        return None if row is None else row.report

    def live_report(self, evaluation: Evaluation) -> tuple[int, str, dict[str, Any]] | None:
        """The newest report of the version that the label `latest` of the same model names, on the same data set and
        split: version, evaluation id, report. None when that version is the evaluated checkpoint itself or was not
        evaluated on these rows."""
        train_job = evaluation.train_job_id or evaluation.job_id
        query = (
            select(Version.number, Evaluation.id, EvaluationReport.report)
            .join(Label, and_(Label.model == Version.model, Label.version == Version.number, Label.label == "latest"))
            .join(Job, and_(Job.model == Version.model, Job.id == train_job))
            .join(Export, Export.id == Version.export_id)
            .join(Evaluation, and_(Evaluation.train_job_id == Export.train_job_id, Evaluation.step == Export.step))
            .join(EvaluationReport, EvaluationReport.evaluation_id == Evaluation.id)
            .where(Evaluation.dataset_id == evaluation.dataset_id, Evaluation.split == evaluation.split)
            .where(or_(Export.train_job_id != train_job, Export.step != evaluation.step))
            .order_by(Evaluation.created_at.desc(), Evaluation.id.desc())
            .limit(1)
        )
        found = self.session.execute(query).first()
        return None if found is None else (found[0], found[1], found[2])

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
