from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app.config import Settings
from app.ids import new_id
from app.queue import MemoryQueue
from app.registry.audit import AuditRepository
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import Database, now
from app.registry.idempotency import IdempotencyRepository
from app.registry.metric_points import MetricRepository
from app.registry.tables import AuditEntry, IdempotencyKey, Job, JobEvent, MetricPoint, Worker
from app.registry.workers import WorkerReport, WorkerRepository
from app.storage import Storage
from tests.repositories import attempts
from tests.workers import job_rows
from workers.reconciler import Reconciler


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture
def reconciler(database: Database, queue: MemoryQueue, storage: Storage, tmp_path: Path) -> Reconciler:
    settings = Settings(data_dir=tmp_path, orphan_grace_s=100, resend_after_s=10.0, retry_backoff_s=0.0)
    return Reconciler(settings, database, queue, storage, holder="one")


def old(path: Path, seconds: float = 1000) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_message_that_was_not_sent_is_sent(reconciler: Reconciler, database: Database, queue: MemoryQueue) -> None:
    job = job_rows.submit(database)
    assert reconciler.round()
    assert queue.sent == [(job.id, 0)]
    assert job_rows.job(database, job.id).sent_at is not None


def test_job_that_nobody_took_is_rung_again(reconciler: Reconciler, database: Database, queue: MemoryQueue) -> None:
    job = job_rows.submit(database)
    reconciler.round()
    reconciler.round()
    assert queue.sent == [(job.id, 0)]  # for ten seconds
    with database.session() as session:
        session.execute(update(Job).values(sent_at=now() - 10.1))
    reconciler.round()
    assert queue.sent == [(job.id, 0)] * 2


def test_broker_that_is_down_loses_nothing(reconciler: Reconciler, database: Database, queue: MemoryQueue) -> None:
    job = job_rows.submit(database)
    queue.up = False
    reconciler.round()
    assert queue.sent == []
    queue.up = True
    reconciler.round()
    assert queue.sent == [(job.id, 0)]


def test_lease_that_ran_out_queues_the_job_again(
    reconciler: Reconciler, database: Database, queue: MemoryQueue
) -> None:
    job = job_rows.submit(database)
    with database.session() as session:
        assert attempts(session).claim(job.id, 0, "dead", lease_s=60)
        session.execute(update(Job).values(lease_expires_at=now() - 0.1))
    reconciler.round()
    assert job_rows.job(database, job.id).state == "QUEUED"
    assert (job.id, 1) in queue.sent
    assert job_rows.attempts(database, job.id)[0].state == "LOST"


def test_one_works_at_a_time(
    reconciler: Reconciler, database: Database, queue: MemoryQueue, storage: Storage, tmp_path: Path
) -> None:
    other = Reconciler(Settings(data_dir=tmp_path), database, queue, storage, holder="two")
    assert reconciler.round()
    assert not other.round()
    reconciler.release()
    assert other.round()


def test_orphans_go_after_the_grace_and_others_stay(
    reconciler: Reconciler, database: Database, storage: Storage
) -> None:
    orphan = old(storage.make(storage.export_key(new_id("exp"))))
    young = storage.make(storage.export_key(new_id("exp")))
    job = job_rows.submit(database)
    with database.session() as session:
        attempts(session).claim(job.id, 0, "w", lease_s=60)
    needed = old(storage.make(storage.attempt_key(job.id, 1)))
    never = old(storage.make(storage.attempt_key(job.id, 2)))
    reconciler.round()
    assert [path.exists() for path in (orphan, young, needed, never)] == [False, True, True, False]


def test_directory_that_is_being_filled_stays(reconciler: Reconciler, storage: Storage) -> None:
    directory = storage.make(storage.dataset_key(new_id("ds")))
    column = directory / "0.values.npy"
    column.write_bytes(b"x")
    old(directory)  # appending to a file leaves its directory's time as it is
    reconciler.sweep()
    assert column.exists()
    old(column)
    old(directory)
    reconciler.sweep()
    assert not directory.exists()


def test_checkpoint_without_a_row_goes_when_its_attempt_is_over(
    reconciler: Reconciler, database: Database, storage: Storage
) -> None:
    job = job_rows.submit(database)
    key = storage.attempt_key(job.id, 1)
    directory = storage.make(key)
    for step in (5, 10):
        for suffix in ("index", "data-00000-of-00001"):
            (directory / f"model.ckpt-{step}.{suffix}").write_bytes(b"x")
    for half in ("model.ckpt-15.data-00000-of-00001", "model.ckpt-20.resume.tmp-1a2b", "checkpoint.tmp-3c4d"):
        (directory / half).write_bytes(b"x")
    (directory / "scratch").mkdir()
    old(directory)
    with database.session() as session:
        attempts(session).claim(job.id, 0, "w", lease_s=60)
        assert CheckpointRepository(session).add(job.id, 1, 5, f"{key}/model.ckpt-5", 2)
    reconciler.sweep()
    assert (directory / "model.ckpt-10.index").exists()  # it may be about to be committed
    with database.session() as session:
        attempts(session).lose(job.id, 1, "died")
    reconciler.sweep()
    left = {path.name for path in directory.iterdir()}
    assert left == {"model.ckpt-5.index", "model.ckpt-5.data-00000-of-00001"}


def test_database_that_is_not_migrated_yet_is_waited_for(tmp_path: Path, storage: Storage, queue: MemoryQueue) -> None:
    from app.registry.db import make_engine

    settings = Settings(data_dir=tmp_path / "fresh")
    fresh = Database(make_engine(settings))
    assert not Reconciler(settings, fresh, queue, storage).round()
    fresh.close()


def aged(database: Database, seconds: float) -> str:
    """A registry in which everything is that old; the id of its ended job."""
    job = job_rows.submit(database)
    with database.session() as session:
        attempts(session).claim(job.id, 0, "w", lease_s=60)
        MetricRepository(session).add_points(job.id, 1, [("loss", 1, 0.5)])
        attempts(session).succeed(job.id, 1, {})
        IdempotencyRepository(session).begin("tok", "key", "digest", ttl_s=60)
        AuditRepository(session).add(None, "test", "x")
        WorkerRepository(session).report(WorkerReport("host:1", ("default",), 1, (), "1"))
        for table, column in (
            (Job, "finished_at"),
            (IdempotencyKey, "created_at"),
            (AuditEntry, "at"),
            (Worker, "seen_at"),
        ):
            session.execute(update(table).values({column: now() - seconds}))
    return job.id


def records(database: Database) -> dict[str, int]:
    tables = (JobEvent, MetricPoint, IdempotencyKey, AuditEntry, Worker)
    with database.read() as session:
        return {table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def test_round_purges_what_the_settings_do_not_keep(
    database: Database, queue: MemoryQueue, storage: Storage, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path,
        idempotency_ttl_s=5000.0,
        event_retention_s=6000.0,
        metric_retention_s=7000.0,
        audit_retention_s=8000.0,
    )
    aged(database, 6500.0)
    pulses: list[None] = []
    reconciler = Reconciler(settings, database, queue, storage, pulse=lambda: pulses.append(None))
    assert reconciler.round()
    # three states, of which the last stays; a worker goes after an hour
    left = {"job_events": 1, "metric_points": 1, "idempotency_keys": 0, "audit": 1, "workers": 0}
    assert records(database) == left
    assert len(pulses) > 3

    aged(database, 9000.0)
    Reconciler(settings, database, queue, storage).round()
    assert records(database) == left | {"job_events": 2, "metric_points": 0, "audit": 0}


def test_retention_of_zero_keeps_all(database: Database, queue: MemoryQueue, storage: Storage, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, event_retention_s=0, metric_retention_s=0, audit_retention_s=0)
    aged(database, 1e9)
    assert Reconciler(settings, database, queue, storage).round()
    kept = {"job_events": 3, "metric_points": 1, "audit": 1}
    assert records(database) == kept | {"idempotency_keys": 0, "workers": 0}
