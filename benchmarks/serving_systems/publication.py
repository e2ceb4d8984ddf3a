"""A version of a model on record, without the job that would have made it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.ids import new_id
from app.registry.db import Database
from app.registry.jobs.repository import JobRepository
from app.registry.models import ModelRepository
from app.registry.tables import Export
from app.storage import Storage
from benchmarks.small_spec import small_spec


def publish(
    database: Database,
    storage: Storage,
    directory: Path,
    model: str = "m",
    digest: str | None = None,
    copy: Callable[..., Any] = shutil.copy2,
) -> int:
    """Puts an export on record as a STAGED version that takes the label `latest`. Returns its number.

    Args:
        digest: what the record says of the files; None for what is so.
        copy: puts a file into the artifact store.
    """
    export = new_id("exp")
    key = storage.export_key(export)
    shutil.copytree(directory, storage.path(key), copy_function=copy)
    with database.session() as session:
        job = JobRepository(session).create(
            small_spec(model), queue="q", priority=5, max_attempts=1, timeout_s=None, created_by=None
        )
        row = {"job_id": job.id, "train_job_id": job.id, "attempt": 1, "step": 1, "bytes": 1, "created_at": 0.0}
        session.add(Export(id=export, path=key, digest=digest or storage.digest(key), **row))
        session.flush()
        return ModelRepository(session).create_version(model, export, job.id, {}, "STAGED", "latest").number
