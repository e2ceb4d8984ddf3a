"""The scheduling of gangs in simulated time, and that a round sees what it is to see."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.registry.db import Database, make_engine
from app.registry.jobs.gangs import GangRepository
from scripts.chaos_parts.gang_rounds import Rounds, Violation
from tests.specs import job_spec


@pytest.fixture
def rounds(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Rounds]:
    shutil.copy(migrated_sqlite, tmp_path / "registry.db")
    database = Database(make_engine(Settings(data_dir=tmp_path, database_url="")))
    yield Rounds(database, lambda workers: job_spec(resources={"workers": workers, "devices": 1}))
    database.close()


def test_all_jobs_of_a_round_are_done(rounds: Rounds) -> None:
    done = rounds.play(21)

    assert done.jobs >= 2
    assert done.attempts >= done.jobs


def test_gang_that_never_gives_up_is_seen(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GangRepository, "give_back", lambda self, key, pause_s=0.0: False)
    monkeypatch.setattr(GangRepository, "_start", lambda self, job, lease_s: None)

    with pytest.raises(Violation, match="that forms is held"):
        rounds.play(21)
