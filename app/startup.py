"""Checks before requests are answered: the database's tables and an admin's token. Done beside the
server, so that `/healthz` answers at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import structlog

from app.api.deps import AppState
from app.errors import ServiceError, Unavailable
from app.registry.db import Database, migrate
from app.registry.tokens import TokenRepository
from app.storage import Storage

log = structlog.get_logger("app.startup")

ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105  # a file name
_AGAIN_S = 1.0
_AHEAD = "The database belongs to a newer release of the service. Start that one."


async def prepare(app_state: AppState) -> None:
    """Returns when the service is ready; tries again for ever. `service.not_ready` says what it waits for."""
    while True:
        try:
            await asyncio.to_thread(_check_store, app_state.storage)
            state = await asyncio.to_thread(migrate, app_state.database.engine)
            if state == "ok":
                path = app_state.settings.data_dir / ADMIN_TOKEN_FILE
                await asyncio.to_thread(ensure_admin_token, app_state.database, path)
                app_state.not_ready = ""
                return
            app_state.not_ready = _AHEAD
        except ServiceError as error:
            app_state.not_ready = error.detail
        except Exception as error:
            app_state.not_ready = "The database could not be brought up to date. The operator finds why in the log."
            log.error("not ready", exc_info=error)
        log.warning("not ready", why=app_state.not_ready)
        await asyncio.sleep(_AGAIN_S)


def _check_store(storage: Storage) -> None:
    """An outage is no reason to answer nothing: `/readyz` tells of it. Raises InvalidInput for a store that lacks what
    is needed."""
    try:
        storage.check()
    except Unavailable as error:
        log.warning("starts without the artifact store", why=error.detail)


def ensure_admin_token(database: Database, path: Path) -> None:
    """Writes a new admin's token, bare, to `path` (mode 600), unless a valid one stands there. Whoever can write the
    data directory is the operator, so a lost file is simply made again."""
    try:
        secret = path.read_text().strip()
        path.chmod(0o600)
    except FileNotFoundError:
        secret = ""
    with database.session() as session:
        tokens = TokenRepository(session)
        if secret and tokens.find(secret) is not None:
            return
        _, secret = tokens.create("admin", ["admin"])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
