"""What listing and claiming cost as the history grows, and the plans of their queries."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, insert, text

from app.ids import new_id
from app.jobs.spec import encode
from app.registry.db import Database
from app.registry.jobs.attempts import AttemptRepository
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.reconcile import ReconcileRepository
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Attempt, Base, Checkpoint, Job, JobEvent
from benchmarks.small_spec import small_spec

QUEUED = 1_000
"""As many as the default cap lets wait; all others have ended."""
_TIMES = 30


def curve(database: Database, sizes: list[int]) -> dict[str, Any]:
    """Medians in milliseconds at each number of jobs, as multiples of a bare look at one row by its key as well."""
    points = []
    for size in sizes:
        fill(database, size)
        points.append({"jobs": size} | _measure(database))
    return {"points": points, "plans": _plans(database)}


def fill(database: Database, size: int) -> None:
    with database.session() as session:
        there = session.execute(text("SELECT count(*) FROM jobs")).scalar_one()
    for start in range(there, size, 5_000):
        rows = [_job(number) for number in range(start, min(size, start + 5_000))]
        ended = [row for row in rows if row["state"] == "SUCCEEDED"]
        with database.session() as session:
            session.execute(insert(Job), rows)
            if ended:
                session.execute(insert(Attempt), [_attempt(row) for row in ended])
                session.execute(insert(Checkpoint), [_checkpoint(row) for row in ended])
            events = [{"job_id": row["id"], "kind": "state", "data": {"attempt": 1}, "at": 1.0} for row in rows]
            session.execute(insert(JobEvent), events)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # As PostgreSQL does by itself after a while, and would in the middle of the measurement.
        connection.execute(text("VACUUM ANALYZE" if connection.dialect.name == "postgresql" else "ANALYZE"))


def _job(number: int) -> dict[str, Any]:
    at = 1.7e9 + number
    model = f"m{number % 10}"
    common: dict[str, Any] = {"type": "train", "model": model, "spec": encode(small_spec(model)), "queue": "default"}
    common |= {"priority": 5, "max_attempts": 3, "counted_attempts": 0, "not_before": at, "created_at": at}
    state = "QUEUED" if number < QUEUED else "SUCCEEDED"
    done = {"attempt": int(number >= QUEUED), "cancel_requested": False, "drain_requested": False}
    return common | done | {"id": new_id("job"), "state": state, "progress": {}, "result": {}, "sent_at": at}


def _attempt(job: dict[str, Any]) -> dict[str, Any]:
    return {"job_id": job["id"], "number": 1, "state": "SUCCEEDED", "worker": "w", "started_at": 1.0, "ended_at": 2.0}


def _checkpoint(job: dict[str, Any]) -> dict[str, Any]:
    row = {"id": new_id("ckpt"), "job_id": job["id"], "attempt": 1, "step": 10, "bytes": 1, "created_at": 1.0}
    return row | {"path": f"jobs/{job['id']}/1/model.ckpt-10"}


def _operations(database: Database) -> dict[str, Callable[[JobRepository], Any]]:
    with database.read() as session:
        first, cursor = JobRepository(session).list(state=None, type=None, model=None, page_size=50, after=None)
        waiting = session.execute(text("SELECT id FROM jobs WHERE state = 'QUEUED' ORDER BY id")).scalars().all()
    ids = iter(waiting)
    page: dict[str, Any] = {"state": None, "type": None, "model": None, "page_size": 50, "after": None}
    return {
        "bare": lambda jobs: jobs.session.execute(text("SELECT * FROM jobs WHERE id = :id"), {"id": first[0].id}).all(),
        "list": lambda jobs: jobs.list(**page),
        "list_next_page": lambda jobs: jobs.list(**page | {"after": cursor}),
        "list_state": lambda jobs: jobs.list(**page | {"state": "QUEUED"}),
        "list_model": lambda jobs: jobs.list(**page | {"model": "m7"}),
        "count_queued": lambda jobs: jobs.count_queued(),
        "unsent": lambda jobs: ReconcileRepository(jobs.session, retry_backoff_s=2.0).unsent(10.0),
        "expire_leases": lambda jobs: ReconcileRepository(jobs.session, retry_backoff_s=2.0).expire_leases(),
        "claim": lambda jobs: AttemptRepository(jobs.session, retry_backoff_s=2.0).claim(next(ids), 0, "bench", 60.0),
        "pending_messages": lambda jobs: OutboxRepository(jobs.session).pending(),
    }


class _RolledBack(Exception):
    """Ends a measured transaction without a trace."""


def _measure(database: Database) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, work in _operations(database).items():
        taken = []
        for _ in range(_TIMES):
            try:
                with database.session() as session:
                    begin = time.perf_counter()
                    work(JobRepository(session))
                    session.flush()
                    taken.append(time.perf_counter() - begin)
                    raise _RolledBack
            except _RolledBack:
                pass
        found[name] = round(1000 * statistics.median(taken), 4)
    ratios = {name: round(value / found["bare"], 2) for name, value in found.items()}
    return {"ms": found, "times_bare": ratios}


@contextmanager
def _recorded(database: Database) -> Iterator[list[tuple[str, Any]]]:
    seen: list[tuple[str, Any]] = []

    def note(connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.match(r"\s*(SELECT|UPDATE|DELETE)", statement):
            seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def _plans(database: Database) -> dict[str, Any]:
    """Each operation's plans, and whether one of them reads a whole table."""
    explain = "EXPLAIN QUERY PLAN " if database.engine.dialect.name == "sqlite" else "EXPLAIN "
    found: dict[str, Any] = {}
    for name, work in _operations(database).items():
        try:
            with _recorded(database) as seen, database.session() as session:
                work(JobRepository(session))
                session.flush()
                raise _RolledBack
        except _RolledBack:
            pass
        plans = []
        with database.engine.connect() as connection:
            for statement, parameters in seen:
                rows = connection.exec_driver_sql(explain + statement, parameters).all()
                plans += [str(row[-1]) for row in rows]
        found[name] = {"plan": plans, "full_scans": [line for line in plans if _reads_all(database, line)]}
    return found


def _reads_all(database: Database, line: str) -> bool:
    """Whether a line of a plan reads a whole table, and one that is long: a few rows are read whole because that is
    the cheapest way to read them."""
    read = re.search(r"\bSCAN (\w+)(?!.*INDEX)|Seq Scan on (\w+)", line)
    table = (read[1] or read[2]) if read else None
    if table not in Base.metadata.tables:
        return False
    with database.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()) > QUEUED


def flatness(points: list[dict[str, Any]]) -> dict[str, float]:
    """Of each operation, its time at the most jobs over its time at the fewest."""
    first, last = points[0]["ms"], points[-1]["ms"]
    return {name: round(last[name] / first[name], 2) for name in first}


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2)
