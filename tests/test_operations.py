"""What docs/operations.md and the pages on back-up and upgrade say: commands work, and tests that they name exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.config import Settings
from app.jobs.state import JobState
from app.queue import MemoryQueue
from app.registry.checkpoints import CheckpointRepository
from app.registry.datasets import DatasetRepository
from app.registry.db import Database, make_engine, revision_state
from app.registry.jobs.repository import JobRepository
from app.storage import Storage
from tests import databases
from tests.repositories import attempts
from tests.workers import job_rows
from workers.attempt.attempt_files import adopt_checkpoint
from workers.reconciler import Reconciler

ROOT = Path(__file__).resolve().parents[1]
TEXT = "".join(
    (ROOT / "docs" / page).read_text() for page in ("operations.md", "how-to/backup.md", "how-to/upgrade.md")
)


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT))
    assert len(named) > 60
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not (ROOT / file).exists()
        or not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_every_row_of_the_table_of_inputs_is_answered() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", TEXT, re.MULTILINE)
    assert len(rows) >= 63
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert all("::" in answer or "none: " in answer for _, answer in rows)


def run(block: str, **environment: str) -> None:
    """Runs the commands of a block of the page."""
    (commands,) = re.findall(rf"```sh {block}\n(.*?)```", TEXT, re.DOTALL)
    subprocess.run(["sh", "-euc", commands], env={**os.environ, **environment}, check=True, timeout=500)


@contextmanager
def empty_database(kind: str, data_dir: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{data_dir / 'registry.db'}"
        return
    with databases.temporary_postgres() as url:
        yield url


@pytest.mark.parametrize("kind", databases.kinds())
def test_back_up_and_restore_as_documented(kind: str, tmp_path: Path) -> None:
    if shutil.which("sqlite3" if kind == "sqlite" else "pg_dump") is None:
        pytest.skip("the program of the documented command is not installed")
    old, new, backup = tmp_path / "old", tmp_path / "new", tmp_path / "backup"
    old.mkdir()
    with empty_database(kind, old) as url, empty_database(kind, new) as new_url:
        database, storage = databases.migrated(url), Storage(old / "artifacts")
        (old / "admin-token").write_text("secret")
        job_id = running_job(database, storage)
        stop = threading.Event()
        writer = threading.Thread(target=beat, args=(database, job_id, stop))
        writer.start()
        try:
            run(f"backup-{kind}", DATA_DIR=str(old), BACKUP=str(backup), DATABASE_URL=plain(url))
        finally:
            stop.set()
            writer.join()
        with database.session() as session:  # after the back-up: not to be seen in the copy
            registry_job = JobRepository(session).get(job_id)
            registry_job.model = "later"
        database.close()
        shutil.rmtree(old / "artifacts")

        run(f"restore-{kind}", NEW_DATA_DIR=str(new), BACKUP=str(backup), NEW_DATABASE_URL=plain(new_url))

        assert (new / "admin-token").read_text() == "secret"
        goes_on(new_url, new, job_id)


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def running_job(database: Database, storage: Storage) -> str:
    """A job with a data set and a checkpoint, whose lease ends at once."""
    (storage.make("datasets/ds_00000000000000000000000001") / "meta.json").write_text("{}")
    with database.session() as session:
        DatasetRepository(session).add(
            name="d", digest="sha256:1", format="csv", rows=1, bytes=1, columns=[], created_by=None,
            path="datasets/ds_00000000000000000000000001", dataset_id="ds_00000000000000000000000001",
        )  # fmt: skip
    job_id = job_rows.submit(database).id
    key = storage.attempt_key(job_id, 1)
    directory = storage.make(key)
    for suffix in ("index", "data-00000-of-00001"):
        (directory / f"model.ckpt-7.{suffix}").write_bytes(b"xyz")
    with database.session() as session:
        assert attempts(session).claim(job_id, 0, "w", lease_s=0.01)
        assert CheckpointRepository(session).add(job_id, 1, 7, f"{key}/model.ckpt-7", 6)
    return job_id


def beat(database: Database, job_id: str, stop: threading.Event) -> None:
    """Writes while the back-up is made."""
    step = 7
    while not stop.wait(0.005):
        step += 1
        with database.session() as session:
            assert attempts(session).heartbeat(job_id, 1, 0.01, {"step": step})


def goes_on(url: str, data_dir: Path, job_id: str) -> None:
    """On the restored copy: the job waits again, is rung for, and has what it needs; nothing of it is garbage."""
    settings = Settings(data_dir=data_dir, database_url=url, orphan_grace_s=0.001, retry_backoff_s=0.0)
    database, storage, queue = Database(make_engine(settings)), Storage(settings.artifacts), MemoryQueue()
    assert revision_state(database.engine) == "ok"
    assert job_rows.job(database, job_id).model == "m"
    reconciler = Reconciler(settings, database, queue, storage)
    assert reconciler.round()
    assert job_rows.job(database, job_id).state == JobState.QUEUED
    assert (job_id, 1) in queue.sent
    reconciler.sweep()
    with database.session() as session:
        claim = attempts(session).claim(job_id, 1, "w2", lease_s=60)
    assert claim is not None and claim.resume is not None and claim.resume.step == 7
    adopt_checkpoint(storage.path(claim.resume.path), storage.make(storage.attempt_key(job_id, 2)), 6)
    assert storage.exists("datasets/ds_00000000000000000000000001")
    database.close()
