"""The registry's database: SQLite by default, PostgreSQL for real. Engine, transactions and the database's clock."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
from sqlalchemy import Connection, Engine, Float, create_engine, event, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.config import Settings
from app.errors import Unavailable
from app.registry.commit_watch import CommitWatcher
from app.registry.migrations import HEAD, READ, migrate, revision_state
from app.registry.outage import DAMAGED, DatabaseDamaged, translating_outages

__all__ = ["HEAD", "Database", "make_engine", "migrate", "now", "revision_state", "seconds", "upsert"]

T = TypeVar("T")

log = structlog.get_logger("app.registry")

CHECK_EVERY_S = 300.0
_BUSY_TIMEOUT_MS = 10_000
#: a worker that is frozen in a transaction must not hold its row lock past the lease of others
_POSTGRES_OPTIONS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=10s"
#: a dead network is noticed within about ten seconds
_POSTGRES_CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": _POSTGRES_OPTIONS,
    "application_name": "estimator-service",
}


class _Now(FunctionElement[float]):
    """Start of the current statement. In PostgreSQL the statement's time, not `clock_timestamp()`: that one is
    volatile, and no index can answer a comparison with it."""

    type = Float()
    inherit_cache = True
    name = "now"


@compiles(_Now, "sqlite")
def _now_sqlite(element: _Now, compiler: SQLCompiler, **kwargs: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(_Now, "postgresql")
def _now_postgresql(element: _Now, compiler: SQLCompiler, **kwargs: Any) -> str:
    return "CAST(extract(epoch FROM statement_timestamp()) AS double precision)"


def now() -> ColumnElement[float]:
    """The database's clock as a SQL expression: seconds since 1970, UTC."""
    return _Now()


def seconds(session: Session) -> float:
    """The database's clock now, in seconds since 1970, UTC."""
    return session.scalar(select(now())) or 0.0


def one_at_a_time(session: Session, name: str) -> None:
    """Makes the transactions that call this with one name wait for each other. SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})


def upsert(session: Session, table: type[Any]) -> sqlite.Insert:
    """An INSERT that has `on_conflict_do_nothing` and `on_conflict_do_update`: both databases spell it the same way."""
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # with it comes asyncio, which SQLite does not need

        return cast(sqlite.Insert, postgresql.insert(table))
    return sqlite.insert(table)


def make_engine(settings: Settings) -> Engine:
    """An engine for `settings.sql_url`. Make it after a fork, never before."""
    url = make_url(settings.sql_url)
    common: dict[str, Any] = {"json_serializer": _to_json, "pool_size": 10, "max_overflow": 40, "pool_timeout": 10}
    if url.get_backend_name() != "sqlite":
        connect = {name: value for name, value in _POSTGRES_CONNECT.items() if name not in url.query}
        return create_engine(url, pool_pre_ping=True, connect_args=connect, **common)
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000}, **common)
    event.listen(engine, "connect", _connect_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """Per connection; the write-ahead log is a property of the file, which `migrate` sets.

    `synchronous=NORMAL` with a write-ahead log survives the death of any process without a loss, and a power failure
    without damage; a power failure can take back the last commits, as it does for every file that was not yet synced.
    FULL would sync the disk at each heartbeat.
    """
    connection.isolation_level = None  # the driver must not begin: `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once: a transaction that reads first and writes later would fail with `database is
    locked` without waiting, whenever somebody wrote in between."""
    read = connection.get_execution_options().get(READ, False)
    connection.exec_driver_sql("BEGIN" if read else "BEGIN IMMEDIATE")


def _to_json(value: Any) -> str:
    """JSON has no NaN and no infinity: they become null, as in the answers of the API."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


class Database:
    """Transactions on one engine. Repositories flush; the `with` block here commits.

    Attributes:
        changes: whether anything was committed.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.engine = engine
        self._clock, self._check_at = clock, 0.0
        self.commits = CommitWatcher(engine)
        self._writer = sessionmaker(engine, expire_on_commit=False)
        self._reader = sessionmaker(engine.execution_options(**{READ: True}), expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One write transaction: commits at the end, rolls back on an error. Keep it short: SQLite has one writer.

        Raises:
            Unavailable: the database does not answer; nothing is known of a commit that was on its way.
        """
        try:
            with translating_outages(), self._writer() as session, session.begin():
                yield session
        except DatabaseDamaged:
            self._check_at = 0.0  # the next check looks at once
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent look that never waits for writers (on SQLite). What is written in it is thrown away.

        Raises:
            Unavailable: the database does not answer.
        """
        try:
            with translating_outages(), self._reader() as session:
                yield session
        except DatabaseDamaged:
            self._check_at = 0.0  # the next check looks at once
            raise

    def run(self, work: Callable[[Session], T], *, patience_s: float = 5.0) -> T:
        """`work` in a write transaction, repeated while the database does not answer, for `patience_s` seconds.

        Only for work that may be done twice (a fenced write may): a lost connection can hide a commit.

        Raises:
            Unavailable: it did not answer in that time.
        """
        deadline = time.monotonic() + patience_s
        pause = 0.05
        while True:
            try:
                with self.session() as session:
                    return work(session)
            except Unavailable:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 1.0)

    def check(self) -> None:
        """Reads the whole of a SQLite database for damage, unless that was done within the last five minutes and found
        none; other databases check themselves what they read.

        Raises:
            DatabaseDamaged: and says it in the log.
            Unavailable: the database does not answer.
        """
        if self.engine.dialect.name != "sqlite" or self._clock() < self._check_at:
            return
        with self.read() as session:
            found = str(session.scalar(text("PRAGMA quick_check(1)")))
        if found != "ok":
            log.error(DAMAGED, found=found)
            raise DatabaseDamaged(DAMAGED)
        self._check_at = self._clock() + CHECK_EVERY_S

    def close(self) -> None:
        self.commits.close()
        self.engine.dispose()
