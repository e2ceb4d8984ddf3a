"""Registry databases for tests: made by the real migrations once, then emptied or copied for each test.

SQLite is always there. PostgreSQL takes part where it answers: `TEST_POSTGRES_URL`, a `DATABASE_URL` of that kind, or
the usual port of this machine. Only a database that was made here is touched, and it is dropped at the end.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import make_url

from app.config import Settings
from app.registry.db import Database, make_engine, migrate
from app.registry.tables import Base

_LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"


@functools.cache
def postgres_url() -> str | None:
    """A server on which databases may be made; None when none answers."""
    for url in (os.environ.get("TEST_POSTGRES_URL", ""), os.environ.get("DATABASE_URL", ""), _LOCAL):
        if not url.startswith(("postgresql", "postgres:")):
            continue
        try:
            with psycopg.connect(_plain(url), connect_timeout=2, autocommit=True) as connection:
                row = connection.execute(
                    "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
                ).fetchone()
        except psycopg.Error:
            continue
        if row and row[0]:
            return url
    return None


def kinds() -> list[str]:
    return ["sqlite", "postgresql"] if postgres_url() else ["sqlite"]


@contextmanager
def temporary_postgres() -> Iterator[str]:
    """An empty database with a random name; its URL. Dropped at the end, connections and all."""
    server = postgres_url()
    assert server is not None
    name = f"estimator_test_{secrets.token_hex(6)}"
    with psycopg.connect(_plain(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    try:
        yield make_url(server).set(drivername="postgresql+psycopg", database=name).render_as_string(False)
    finally:
        with psycopg.connect(_plain(server), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def migrated(url: str) -> Database:
    """The database of that URL, brought to today's revision."""
    database = Database(make_engine(Settings(database_url=url)))
    assert migrate(database.engine) == "ok"
    return database


def empty(database: Database) -> None:
    """Removes every row. DELETE, not TRUNCATE: for a handful of rows that is ten times faster."""
    with database.session() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())


def _plain(url: str) -> str:
    """As libpq reads it, without SQLAlchemy's driver name."""
    return "postgresql://" + url.partition("://")[2]
