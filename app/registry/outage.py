"""Tells 'the database does not answer now' from a fault of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import exc

from app.errors import Unavailable

log = structlog.get_logger("app.registry")

DAMAGED = (
    "The registry's database is damaged. The operator restores it from a back-up: "
    "docs/operations.md, 'A damaged registry'."
)
_DAMAGE_IN_SQLITE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_DAMAGE_IN_POSTGRESQL = ("XX001", "XX002")  # data_corrupted, index_corrupted

_FAULT_OF_THE_STATEMENT = 1  # SQLITE_ERROR: no such table, syntax … all else is busy, full, read-only, broken


class DatabaseDamaged(Unavailable):
    """What the database holds cannot be read."""


@contextmanager
def translating_outages() -> Iterator[None]:
    """Turns an outage into `Unavailable`, damage into `DatabaseDamaged`; faults of statements pass."""
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError, exc.DisconnectionError) as error:
        if is_damage(error):
            log.error(DAMAGED, exc_info=error)
            raise DatabaseDamaged(DAMAGED) from error
        if not is_outage(error):
            raise
        raise Unavailable("The database does not answer now. Try again.") from error


def is_outage(error: exc.SQLAlchemyError) -> bool:
    if not isinstance(error, exc.DBAPIError):
        return True  # no connection was to be had
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode & 0xFF != _FAULT_OF_THE_STATEMENT
    return error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError)


def is_damage(error: exc.SQLAlchemyError) -> bool:
    """Whether the database says that its own files cannot be read."""
    if not isinstance(error, exc.DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _DAMAGE_IN_SQLITE
    return getattr(error.orig, "sqlstate", None) in _DAMAGE_IN_POSTGRESQL
