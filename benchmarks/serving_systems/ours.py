"""The whole service, as `app.main` makes it, with one version in its registry: `ours.py PORT`. No part is left out
or switched off: tokens from the database, gate, validation, metrics, headers, the spare predictor."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from app.config import Settings
from app.ids import new_id
from app.log import configure
from app.main import create_app
from app.registry.db import Database, make_engine, migrate
from app.registry.jobs import JobRepository
from app.registry.models import ModelRepository
from app.registry.tables import Export
from app.registry.tokens import TokenRepository
from app.server import serve
from app.storage import Storage


def publish(database: Database, storage: Storage, directory: Path, model: str = "m") -> int:
    """Puts an export on record as a STAGED version that takes the label `latest`. Returns its number."""
    export = new_id("exp")
    key = storage.export_key(export)
    shutil.copytree(directory, storage.path(key))
    with database.session() as session:
        job = JobRepository(session).create(
            type="train", model=model, spec={}, queue="q", priority=5, max_attempts=1, timeout_s=None, created_by=None
        )
        row = {"job_id": job.id, "train_job_id": job.id, "attempt": 1, "step": 1, "bytes": 1, "created_at": 0.0}
        session.add(Export(id=export, path=key, digest=storage.digest(key), **row))
        session.flush()
        return ModelRepository(session).create_version(model, export, job.id, {}, "STAGED", "latest").number


def make_settings() -> Settings:
    data = Path(tempfile.mkdtemp(dir=os.environ["EXPORTS"], prefix="data-"))
    return Settings(data_dir=data, database_url="", redis_url="redis://127.0.0.1:1", artifacts_url="")


settings = make_settings()
database = Database(make_engine(settings))
migrate(database.engine)
storage = Storage(settings.artifacts)
for copy in range(int(os.environ["COPIES"])):
    publish(database, storage, Path(os.environ["EXPORTS"]) / os.environ["MODEL"], f"m{copy or ''}")
with database.session() as session:
    _, secret = TokenRepository(session).create("benchmark", ["predict", "read"])
Path(os.environ["TOKEN_FILE"]).write_text(secret)
configure("WARNING")
serve(create_app(settings), host="127.0.0.1", port=int(sys.argv[1]))
