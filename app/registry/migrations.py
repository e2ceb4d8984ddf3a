"""Brings the database's tables to this code's revision. Several processes may start at once: one works, others wait."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, Engine, inspect, text

from app.errors import Unavailable
from app.registry.outage import translating_outages

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0010"
"""The revision that this code works with: the last file of `migrations/versions`. Known here, so that a start with an
up-to-date database need not import Alembic."""

_SCRIPTS = Path(__file__).resolve().parents[2] / "migrations"
_LOCK = 0x657374696D61  # any number that is ours

#: execution option of a connection that only reads: in SQLite it does not take the write lock
READ = "registry_read"

State = Literal["ok", "behind", "ahead", "empty"]


def revision_state(engine: Engine) -> State:
    """Whether the database fits this code: `ok`, `behind` (migrate), `ahead` (a newer release has migrated it: this
    process must not work on it), `empty`.

    Raises:
        Unavailable: the database does not answer.
    """
    with translating_outages(), engine.execution_options(**{READ: True}).connect() as connection:
        return _state(connection)


def migrate(engine: Engine) -> State:
    """Upgrades to `HEAD` in one transaction, and says what `revision_state` then is: `ok`, or `ahead` (nothing done).

    Raises:
        Unavailable: the database does not answer.
    """
    if engine.dialect.name == "sqlite":
        _write_ahead(engine)
    state = revision_state(engine)
    if state in {"ok", "ahead"}:
        return state
    with translating_outages(), engine.begin() as connection:  # SQLite: BEGIN IMMEDIATE, others wait here
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        state = _state(connection)
        if state in {"ok", "ahead"}:
            return state
        upgrade(connection)
        return _state(connection)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Runs Alembic up to `revision` on an open transaction."""
    from alembic import command

    command.upgrade(alembic_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Runs Alembic down to `revision` (`base`: no tables) on an open transaction."""
    from alembic import command

    command.downgrade(alembic_config(connection), revision)


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, made here so that no file has to be found at run time."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _state(connection: Connection) -> State:
    if not inspect(connection).has_table("alembic_version"):
        return "empty"
    revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if revision is None:
        return "empty"
    if revision == HEAD:
        return "ok"
    return "behind" if str(revision) < HEAD else "ahead"  # revisions are numbers of four digits


def _write_ahead(engine: Engine) -> None:
    """Readers and the writer do not wait for each other. The mode stays with the file. Several processes may switch at
    once, and the switch does not honour the busy timeout, so try for a while."""
    deadline = time.monotonic() + 10
    with translating_outages():
        raw = engine.raw_connection()
    try:
        while True:
            try:
                raw.cursor().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Unavailable("The database file cannot be opened or is locked.") from error
                time.sleep(0.02)
    finally:
        raw.close()
