"""Registry lookups for job requests: data sets, versions, checkpoints, jobs by the names that a request gives."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.errors import NotFound
from app.ids import is_id
from app.jobs.dataset import DatasetInfo
from app.jobs.plan import TrainedSource
from app.jobs.spec import TrainSpec, decode
from app.registry.checkpoints import CheckpointRepository
from app.registry.datasets import DatasetRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.repository import JobRepository
from app.registry.models import ModelRepository
from app.registry.tables import Checkpoint, Version

LATEST = "latest"


class RegistrySources:
    """`app.jobs.plan.TrainedSources` and data sets, in the caller's transaction. None: not there, or not usable."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def dataset(self, named: str) -> DatasetInfo | None:
        """By its id, or by its name: the newest of that name."""
        datasets = DatasetRepository(self._session)
        row = datasets.find(named) if is_id(named, "ds") else datasets.newest(named)
        return DatasetInfo(row.id, row.digest, row.rows, row.columns) if row else None

    def version(self, model: str, number: int | None) -> TrainedSource | None:
        try:
            row = self._version(model, number)
            export = ExportRepository(self._session).get(row.export_id)
            checkpoint = CheckpointRepository(self._session).at_step(export.train_job_id, export.step)
        except NotFound:
            return None
        return self._source(checkpoint, model, row.number)

    def checkpoint(self, checkpoint_id: str) -> TrainedSource | None:
        try:
            return self._source(CheckpointRepository(self._session).get(checkpoint_id))
        except NotFound:
            return None

    def job(self, job_id: str, step: int | None) -> TrainedSource | None:
        checkpoints = CheckpointRepository(self._session)
        try:
            row = checkpoints.latest(job_id) if step is None else checkpoints.at_step(job_id, step)
        except NotFound:
            return None
        return self._source(row) if row else None

    def _version(self, model: str, number: int | None) -> Version:
        models = ModelRepository(self._session)
        if number is not None:
            return models.version(model, number)
        labels = {row.label: row.version for row in models.labels(model)}
        if LATEST in labels:
            return models.version(model, labels[LATEST])
        newest, _ = models.versions(model, page_size=1)
        if not newest:
            raise NotFound("The model has no version.")
        return newest[0]

    def _source(self, row: Checkpoint, model: str | None = None, version: int | None = None) -> TrainedSource:
        spec = decode(JobRepository(self._session).get(row.job_id).spec)
        assert isinstance(spec, TrainSpec), "only training jobs have checkpoints"
        return TrainedSource(row.job_id, row.step, row.id, spec, model, version)
