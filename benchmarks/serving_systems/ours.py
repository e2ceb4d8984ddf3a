"""The whole service, as `app.main` makes it, with one version in its registry: `ours.py PORT`. No part is left out
or switched off: tokens from the database, gate, validation, metrics, headers, the spare predictor."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from publication import publish

from app.config import Settings
from app.http.server import serve
from app.log import configure
from app.main import create_app
from app.registry.db import Database, make_engine, migrate
from app.registry.tokens import TokenRepository
from app.storage import Storage


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
app = create_app(settings)
serve(app.asgi, host="127.0.0.1", port=int(sys.argv[1]), fast_path=app.fast_path)
