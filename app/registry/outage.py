"""Tells 'the database does not answer now' from a fault of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from app.errors import Unavailable

_FAULT_OF_THE_STATEMENT = 1  # SQLITE_ERROR: no such table, syntax … all else is busy, full, read-only, broken


@contextmanager
def translating_outages() -> Iterator[None]:
    """Turns an outage into `Unavailable`; faults of statements pass."""
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError, exc.DisconnectionError) as error:
        if not is_outage(error):
            raise
        raise Unavailable("The database does not answer now. Try again.") from error


def is_outage(error: exc.SQLAlchemyError) -> bool:
    if not isinstance(error, exc.DBAPIError):
        return True  # no connection was to be had
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode & 0xFF != _FAULT_OF_THE_STATEMENT
    return error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError)
