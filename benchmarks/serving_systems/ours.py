"""The whole service, as `python -m app.lanes` runs it, with one version in its registry: `ours.py PORT`. No part is
left out or switched off: tokens from the database, admission, validation, metrics, headers, the spare predictor. The
number of lanes is SERVING_LANES; one where that is not set."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from publication import publish

from app.config import Settings
from app.registry.db import Database, make_engine, migrate
from app.registry.tokens import TokenRepository
from app.storage import Storage


def make_settings() -> Settings:
    data = Path(tempfile.mkdtemp(dir=os.environ["EXPORTS"], prefix="data-"))
    return Settings(data_dir=data, database_url="", redis_url="redis://127.0.0.1:1", artifacts_url="")


os.umask(0o077)  # as the service itself has it
settings = make_settings()
database = Database(make_engine(settings))
migrate(database.engine)
storage = Storage(settings.artifacts)
for copy in range(int(os.environ["COPIES"])):
    publish(database, storage, Path(os.environ["EXPORTS"]) / os.environ["MODEL"], f"m{copy or ''}")
with database.session() as session:
    _, secret = TokenRepository(session).create("benchmark", ["predict", "read"])
Path(os.environ["TOKEN_FILE"]).write_text(secret)
database.close()
own = {
    "DATA_DIR": str(settings.data_dir),
    "DATABASE_URL": "",
    "REDIS_URL": settings.redis_url,
    "ARTIFACTS_URL": "",
    "HOST": "127.0.0.1",
    "PORT": sys.argv[1],
    "LOG_LEVEL": "WARNING",
    "SERVING_LANES": os.environ.get("SERVING_LANES", "1"),
}
os.chdir(Path(__file__).resolve().parents[2])  # `-m` looks for `app` here first, wherever the benchmark was started
os.execve(sys.executable, [sys.executable, "-m", "app.lanes"], {**os.environ, **own})
