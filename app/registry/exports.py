"""SavedModels on record."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.ids import new_id
from app.registry.db import now
from app.registry.events import record
from app.registry.jobs.transitions import fence
from app.registry.tables import Export


class ExportRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(
        self,
        job_id: str,
        attempt: int,
        *,
        train_job_id: str,
        step: int,
        path: str,
        digest: str,
        bytes: int,
        export_id: str | None = None,
    ) -> Export | None:
        """Commits an export whose directory is complete. None: fenced, and the directory is nobody's.

        Add it, `ModelRepository.create_version` and `JobRepository.succeed` in one transaction: then a job publishes
        once however often it is run.

        Args:
            train_job_id: the job whose checkpoint of `step` was exported.
            path: key of its directory in the artifact store.
            export_id: where the directory was named by it; `app.ids.new_id("exp")`.
        """
        if fence(self.session, job_id, attempt) is None:
            return None
        row = Export(
            id=export_id or new_id("exp"),
            job_id=job_id,
            train_job_id=train_job_id,
            attempt=attempt,
            step=step,
            path=path,
            digest=digest,
            bytes=bytes,
            created_at=now(),
        )
        self.session.add(row)
        self.session.flush()
        record(self.session, job_id, "export", {"id": row.id, "step": step, "digest": digest, "bytes": bytes})
        return row

    def get(self, export_id: str) -> Export:
        """An export by its id.

        Raises:
            NotFound: no such export.
        """
        row = self.session.get(Export, export_id)
        if row is None:
            raise NotFound("There is no export of that id.")
        return row

    def for_job(self, job_id: str) -> list[Export]:
        """Made by the job, or of its checkpoints by others; oldest first."""
        query = select(Export).where(or_(Export.job_id == job_id, Export.train_job_id == job_id))
        return list(self.session.scalars(query.order_by(Export.created_at, Export.id)))
