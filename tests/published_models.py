"""A version of a model on record, without the job that would have made it."""

from __future__ import annotations

import shutil
from pathlib import Path

from app.ids import new_id
from app.registry.db import Database
from app.registry.jobs.repository import JobRepository
from app.registry.models import ModelRepository
from app.registry.tables import Export
from app.storage import Storage
from tests.specs import job_spec


def publish(
    database: Database,
    storage: Storage,
    model: str = "m",
    saved_model: Path | None = None,
    label: str | None = "latest",
) -> int:
    """Records a STAGED version that takes a label; its number.

    Args:
        saved_model: is copied to be the version's; None for files that no test loads.
    """
    export = new_id("exp")
    key = storage.export_key(export)
    if saved_model is None:
        storage.path(key).mkdir(parents=True)
        (storage.path(key) / "saved_model.pb").write_bytes(b"x")
    else:
        shutil.copytree(saved_model, storage.path(key))
    storage.publish(key)
    with database.session() as session:
        job = JobRepository(session).create(
            job_spec(model=model), queue="q", priority=5, max_attempts=1, timeout_s=None, created_by=None
        )
        row = {"job_id": job.id, "train_job_id": job.id, "attempt": 1, "step": 1, "bytes": 1, "created_at": 0.0}
        session.add(Export(id=export, path=key, digest=storage.digest(key), **row))
        session.flush()
        return ModelRepository(session).create_version(model, export, job.id, {}, "STAGED", label).number
