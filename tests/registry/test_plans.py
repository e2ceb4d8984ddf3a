"""No query of the daily work reads a whole table: what it costs must not grow with the history."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.orm import Session

from app.ids import new_id
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import now
from app.registry.deletion import DeletionRepository
from app.registry.evaluations import EvaluationRepository
from app.registry.events import EventRepository
from app.registry.idempotency import IdempotencyRepository
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.repository import JobRepository
from app.registry.jobs.search import JobFilter
from app.registry.metric_points import MetricRepository
from app.registry.models import ModelRepository
from app.registry.purge import RetentionRepository
from app.registry.served_versions import ServedVersionRepository
from app.registry.tables import Base, Job, JobEvent
from app.registry.tokens import TokenRepository
from tests.registry.conftest import make_claim, make_dataset, make_export, make_job
from tests.repositories import attempts, reconcile

ENDED_JOBS = 3000


@pytest.fixture
def history(session: Session) -> str:
    """Many ended jobs with events, a few that live; the id of one that runs."""
    ended: list[dict[str, Any]] = [
        {
            "id": new_id("job"),
            "type": "train",
            "model": f"m{number % 50}",
            "spec": {},
            "state": "FAILED" if number % 10 == 0 else "SUCCEEDED",
            "attempt": 1,
            "queue": "default",
            "priority": 5,
            "max_attempts": 3,
            "counted_attempts": 0,
            "created_at": 1000.0 + number,
            "not_before": 0.0,
        }
        for number in range(ENDED_JOBS)
    ]
    silent = [
        job | {"id": new_id("job"), "state": "RUNNING", "lease_expires_at": 9e9, "queue": "far"} for job in ended[:300]
    ]
    session.execute(insert(Job), ended)
    session.execute(insert(Job), silent)
    session.execute(insert(JobEvent), [{"job_id": job["id"], "kind": "state", "data": {}, "at": 0.0} for job in ended])
    for _ in range(3):
        make_job(session)
    running = make_claim(session)
    CheckpointRepository(session).add(running.job_id, 1, 5, "x", 1)
    for export in [make_export(session, running) for _ in range(20)]:
        models = ModelRepository(session)
        number = models.create_version("penguins", export.id, running.job_id, {}, "STAGED", "latest").number
        models.version_loaded("penguins", number)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ANALYZE"))  # as its autovacuum does; SQLite is used without
    return running.job_id


@contextmanager
def statements(session: Session) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed meanwhile, with their parameters."""
    found: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        found.append((statement, parameters))

    engine = session.get_bind().engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def scans(session: Session, statement: str, parameters: Any) -> list[str]:
    """Lines of the statement's plan that read a whole table."""
    if not statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
        return []
    postgres = session.get_bind().dialect.name == "postgresql"
    if postgres:
        # a small table is read whole because that is cheaper: look at what is possible
        session.execute(text("SET LOCAL enable_seqscan = off"))
    prefix = "EXPLAIN " if postgres else "EXPLAIN QUERY PLAN "
    rows = session.connection().exec_driver_sql(prefix + statement, parameters).all()
    if postgres:
        return [row[0].strip() for row in rows if "Seq Scan on" in row[0]]
    read = re.compile(rf"SCAN ({'|'.join(Base.metadata.tables)})$")
    return [row[3] for row in rows if read.match(row[3])]


DAILY: dict[str, Callable[[Session, str], object]] = {
    "claim": lambda session, job: attempts(session).claim(make_job(session).id, 0, "w", 60, queue_cap=5),
    "heartbeat": lambda session, job: attempts(session).heartbeat(job, 1, 60, {"step": 1}),
    "succeed": lambda session, job: attempts(session).succeed(job, 1, {}),
    "fail": lambda session, job: attempts(session).fail(job, 1, "internal", "x"),
    "lose": lambda session, job: attempts(session).lose(job, 1, "x"),
    "cancel": lambda session, job: JobRepository(session).request_cancel(job),
    "count queued": lambda session, job: JobRepository(session).count_queued(),
    "list": lambda session, job: JobRepository(session).list(page_size=20),
    "list failed": lambda session, job: JobRepository(session).list(where=JobFilter(state="FAILED"), page_size=20),
    "list a type": lambda session, job: JobRepository(session).list(where=JobFilter(type="evaluate"), page_size=20),
    "list a model": lambda session, job: JobRepository(session).list(where=JobFilter(model="m7"), page_size=20),
    "unsent": lambda session, job: reconcile(session).unsent(10),
    "expire leases": lambda session, job: reconcile(session).expire_leases(),
    "expire waiting": lambda session, job: reconcile(session).expire_waiting(),
    "using": lambda session, job: JobRepository(session).using(job),
    "outbox": lambda session, job: OutboxRepository(session).pending(),
    "outbox of a job": lambda session, job: OutboxRepository(session).for_job(job),
    "events": lambda session, job: EventRepository(session).after(job, 1),
    "checkpoint": lambda session, job: CheckpointRepository(session).add(job, 1, 6, "y", 1),
    "surplus": lambda session, job: CheckpointRepository(session).surplus(job, 1),
    "points": lambda session, job: MetricRepository(session).add_points(job, 1, [("loss", 1, 1.0)]),
    "series": lambda session, job: MetricRepository(session).series(job, "loss"),
    "compare versions": lambda session, job: EvaluationRepository(session).of_model("penguins"),
    "staged": lambda session, job: ModelRepository(session).staged(),
    "set label": lambda session, job: ModelRepository(session).set_label("penguins", "latest", 1),
    "token": lambda session, job: TokenRepository(session).find("secret"),
    "delete data set": lambda session, job: DeletionRepository(session).dataset(make_dataset(session).id).apply(),
    "delete job": lambda session, job: DeletionRepository(session).job(job),
    "delete model": lambda session, job: DeletionRepository(session).model("penguins"),
    "list an estimator": lambda session, job: JobRepository(session).list(where=JobFilter(estimator="x"), page_size=20),
    "list a tag": lambda session, job: JobRepository(session).list(where=JobFilter(tag="x"), page_size=20),
    "idempotency": lambda session, job: IdempotencyRepository(session).begin("tok", "key", "d", ttl_s=60),
    "purge keys": lambda session, job: RetentionRepository(session).purge_idempotency_keys(60),
    "purge audit": lambda session, job: RetentionRepository(session).purge_audit(60),
    "purge events": lambda session, job: RetentionRepository(session).purge_events([job]),
    "purge points": lambda session, job: RetentionRepository(session).purge_metric_points([job]),
}


def test_daily_work_reads_no_whole_table(session: Session, history: str) -> None:
    found = {}
    for name, work in DAILY.items():
        with session.begin_nested() as savepoint:
            with statements(session) as executed:
                work(session, history)
            lines = [line for one in executed for line in scans(session, *one)]
            savepoint.rollback()
        session.expire_all()
        if lines or not executed:
            found[name] = lines
    # in the order of its key, up to the limit: what waits to be sent is short anyway
    found.pop("outbox", None)
    assert found == {}


def test_what_serves_is_read_with_the_labels_and_no_other_whole_table(session: Session, history: str) -> None:
    with statements(session) as executed:
        assert len(ServedVersionRepository(session).wanted()) == 2
    found = [line for one in executed for line in scans(session, *one)]
    assert [line for line in found if "labels" not in line] == []


def test_whole_table_is_noticed(session: Session, history: str) -> None:
    with statements(session) as executed:
        session.execute(text("SELECT id FROM jobs WHERE error_kind = 'x'"))
        session.execute(text("UPDATE jobs SET worker = NULL WHERE worker = 'x'"))
    assert [len(scans(session, *one)) for one in executed] == [1, 1]


def test_time_is_compared_in_an_index(session: Session, history: str) -> None:
    with statements(session) as executed:
        session.execute(
            Job.__table__.select().with_only_columns(Job.id).where(Job.state == "RUNNING", Job.lease_expires_at < now())
        )
    postgres = session.get_bind().dialect.name == "postgresql"
    [(statement, parameters)] = executed
    rows = session.connection().exec_driver_sql(
        ("EXPLAIN " if postgres else "EXPLAIN QUERY PLAN ") + statement, parameters
    )
    plan = " ".join(str(row) for row in rows)
    condition = "lease_expires_at < (EXTRACT" if postgres else "state=? AND lease_expires_at<?"
    assert "ix_jobs_state_lease_expires_at" in plan
    assert condition in plan
