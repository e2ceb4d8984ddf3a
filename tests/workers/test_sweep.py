"""`python -m workers.sweep` on a path and on an object store: what it says would go is what goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.artifact_store import open_storage
from app.config import Settings
from app.errors import Unavailable
from app.ids import new_id
from app.registry.audit import AuditRepository
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import Database, now
from app.registry.feedback import FeedbackRepository, new_file_id
from app.registry.release_tables import KeptFile
from app.storage import Storage
from tests.object_store.stores import BUCKET
from tests.registry.test_models import available
from tests.repositories import attempts
from tests.test_storage import fill
from tests.workers import job_rows
from workers import sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["path", "s3"])
def here(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Settings:
    """A service on this host; everything in its store is older than the grace."""
    url = str(tmp_path / "artifacts")
    if request.param == "s3":
        request.getfixturevalue("s3")
        url = f"s3://{BUCKET}/{os.urandom(8).hex()}"
    settings = Settings(data_dir=tmp_path, database_url=database_url, artifacts_url=url, cache_dir=tmp_path / "cache")
    return settings.model_copy(update={"orphan_grace_s": -5.0})  # an object store's clock counts whole seconds


@pytest.fixture
def store(here: Settings) -> Storage:
    return open_storage(here)


def publish(storage: Storage, key: str, files: dict[str, str]) -> str:
    """A directory of the store; its key."""
    fill(storage, key, files)
    storage.publish(key)
    return key


def ended_attempt(database: Database, storage: Storage) -> str:
    """With a checkpoint that is on record, one of seven bytes that is not, and a temporary file of three bytes here."""
    job = job_rows.submit(database)
    key = storage.attempt_key(job.id, 1)
    fill(storage, key, {"model.ckpt-5.index": "12", "model.ckpt-7.index": "123", "model.ckpt-7.data": "4567"})
    for step in (5, 7):
        storage.publish(f"{key}/model.ckpt-{step}")
    fill(storage, f"{key}/scratch", {"a": "123"})
    with database.session() as session:
        attempts(session).claim(job.id, 0, "w", lease_s=60)
        assert CheckpointRepository(session).add(job.id, 1, 5, f"{key}/model.ckpt-5", 2)
    with database.session() as session:
        attempts(session).lose(job.id, 1, "died")
    return key


def kept_too_long(database: Database, storage: Storage) -> str:
    """A file of kept requests, of eleven bytes, that its model keeps no longer."""
    file_id = new_file_id()
    key = f"kept/{file_id}"
    fill(storage, "kept", {file_id: "eleven byte"})
    storage.publish(key)
    with database.session() as session:
        available(session)
        feedback = FeedbackRepository(session)
        feedback.set_keep("m", {"per_mille": 1000, "days": 2.0, "bytes": 250, "redact": []}, None)
        row = {"id": "a.0", "version": 1, "at": 100.0, "predicted": {}}
        assert feedback.add_file("m", file_id, key, 11, [row])
        session.execute(update(KeptFile).values(at=now() - 3 * 86_400))
    return key


def deeds(database: Database) -> list[dict[str, Any]]:
    """What the audit tells of sweeps, the newest first."""
    with database.read() as session:
        rows, _ = AuditRepository(session).list()
        return [row.detail for row in rows if row.action == "store.sweep"]


def swept(here: Settings, capsys: pytest.CaptureFixture[str], *, dry_run: bool = False) -> dict[str, Any]:
    assert sweep.run(here, dry_run=dry_run, as_json=True) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["dry_run"] is dry_run
    return found


def test_what_a_dry_run_names_goes_and_the_audit_says_so(
    here: Settings, store: Storage, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, attempt = kept_too_long(database, store), ended_attempt(database, store)
    orphan = publish(store, store.export_key(new_id("exp")), {"a": "123", "b/c": "45"})
    upload = f"uploads/{new_id('upl')}"
    fill(store, "uploads", {upload.split("/")[1]: "1"})
    store.publish(upload)

    planned = swept(here, capsys, dry_run=True)

    whole = [(kept, "request", 11), (orphan, "orphan", 5), (upload, "upload", 1)]
    parts = [(f"{attempt}/model.ckpt-7", "checkpoint", 7), (f"{attempt}/scratch", "temporary", 3)]
    assert [(one["key"], one["what"], one["bytes"]) for one in planned["removed"]] == whole + parts
    assert planned["bytes"] == 27
    assert deeds(database) == []
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(KeptFile)) == 1
    assert swept(here, capsys) == planned | {"dry_run": False}
    assert [store.stored_bytes(key) for key, _, _ in whole + parts] == [0] * 5
    assert store.stored_bytes(f"{attempt}/model.ckpt-5") == 2
    assert {name: deeds(database)[0][name] for name in ("removed", "bytes")} == {"removed": 5, "bytes": 27}
    assert swept(here, capsys) == {"dry_run": False, "bytes": 0, "removed": []}


def test_lines_for_people_end_with_the_sum(
    here: Settings, store: Storage, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    orphan = publish(store, store.export_key(new_id("exp")), {"a": "x" * 1234})
    assert sweep.run(here, dry_run=True) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"orphan                1,234  {orphan}",
        "1 would be removed, 1,234 bytes",
    ]


def test_store_that_falls_silent_ends_it_and_the_audit_has_what_went(
    tmp_path: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    class FallsSilent(Storage):
        def found(self, prefix: str, depth: int = 1) -> Iterator[tuple[str, float]]:
            if prefix == "uploads":
                raise Unavailable("The artifact store does not answer.")
            return super().found(prefix, depth)

    store = FallsSilent(tmp_path / "artifacts")
    fill(store, store.export_key(new_id("exp")), {"a": "123"})
    settings = Settings(data_dir=tmp_path, database_url=database_url).model_copy(update={"orphan_grace_s": -5.0})
    monkeypatch.setattr(sweep, "open_storage", lambda settings: store)
    assert sweep.run(settings) == 6
    assert capsys.readouterr().err == "The artifact store does not answer.\n"
    assert store.keys("exports") == []
    assert (deeds(database)[0]["removed"], deeds(database)[0]["bytes"]) == (1, 3)


@pytest.mark.parametrize("registry", [None, b""])
def test_without_the_registry_nothing_is_called_an_orphan(
    tmp_path: Path, registry: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url="", artifacts_url=str(tmp_path / "artifacts"))
    store = Storage(settings.artifacts)
    key = store.export_key(new_id("exp"))
    fill(store, key, {"a": "123"})
    if registry is not None:
        settings.data_dir.mkdir()
        (settings.data_dir / "registry.db").write_bytes(registry)
    assert sweep.run(settings.model_copy(update={"orphan_grace_s": -5.0})) == 1
    assert "DATA_DIR" in (said := capsys.readouterr().err) or "not of this release" in said
    assert store.exists(key)
    assert settings.data_dir.exists() is (registry is not None)


def test_command_line_sweeps_the_data_directory_that_it_is_told(tmp_path: Path, migrated_sqlite: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "registry.db")
    store = Storage(tmp_path / "artifacts")
    orphan, young = (store.export_key(new_id("exp")) for _ in range(2))
    for key in (orphan, young):
        fill(store, key, {"a": "123"})
    for path in (store.path(orphan), store.path(orphan) / "a"):
        os.utime(path, (1e9, 1e9))
    empty = dict.fromkeys(("DATABASE_URL", "ARTIFACTS_URL"), "")
    environment = {**os.environ, **empty, "PYTHONPATH": str(ROOT), "ORPHAN_GRACE_S": "3600"}
    environment.pop("SETTINGS_FILE", None)
    command = [sys.executable, "-m", "estimator_client", "--data-dir", ".", "admin", "gc", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["removed"] == [{"key": orphan, "what": "orphan", "bytes": 3}]
    assert [store.exists(key) for key in (orphan, young)] == [False, True]
