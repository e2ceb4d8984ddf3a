"""A registry whose file is damaged is told from one that does not answer."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import event, text

from app.config import Settings
from app.registry.db import CHECK_EVERY_S, Database, make_engine, migrate
from app.registry.jobs.repository import JobRepository
from app.registry.outage import DatabaseDamaged
from tests.fakes import ManualClock
from tests.registry.conftest import make_job


def database_of(path: Path, clock: ManualClock) -> Database:
    return Database(make_engine(Settings(database_url=f"sqlite:///{path}")), clock=clock)


def damaged(path: Path) -> None:
    """Zeroes over the 4 KB page in which the table of jobs begins."""
    database = database_of(path, ManualClock())
    migrate(database.engine)
    with database.session() as session:
        make_job(session)
        page = session.execute(text("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'")).scalar_one()
        size = session.execute(text("PRAGMA page_size")).scalar_one()
    database.close()  # which writes the log back
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\0" * 4096)


def test_damage_is_told_by_whoever_reads_it(tmp_path: Path) -> None:
    damaged(tmp_path / "registry.db")
    database = database_of(tmp_path / "registry.db", ManualClock())
    with pytest.raises(DatabaseDamaged, match="restores it from a back-up"), database.read() as session:
        JobRepository(session).list()
    database.close()


def test_check_finds_damage_and_looks_again_until_it_is_gone(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "registry.db"
    damaged(path)
    database = database_of(path, clock)
    for _ in range(2):
        with pytest.raises(DatabaseDamaged, match="A damaged registry"):
            database.check()
    database.close()


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the program sqlite3 is not on PATH")
def test_what_can_be_read_of_a_damaged_registry_is_saved(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (command,) = re.findall(r"`(sqlite3 registry\.db \.dump [^`]*)`", page)
    damaged(tmp_path / "registry.db")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    database = database_of(tmp_path / "restored.db", ManualClock())
    database.check()
    with database.read() as session:  # the job itself is gone, its event is not
        assert session.scalar(text("SELECT count(*) FROM job_events")) == 1
    database.close()


def test_sound_database_is_read_once_in_five_minutes(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "registry.db"
    database = database_of(path, clock)
    migrate(database.engine)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for seconds in (0.0, CHECK_EVERY_S - 1, 2.0):
        clock.advance(seconds)
        database.check()
    assert statements.count("PRAGMA quick_check(1)") == 2
    database.close()
