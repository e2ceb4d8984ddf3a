"""`python -m migrations`, the step before a rollout."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from app.registry.migrations import HEAD


def run(data_dir: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATA_DIR": str(data_dir), "DATABASE_URL": "", "REDIS_URL": ""}
    command = [sys.executable, "-m", "migrations"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)


def revision(data_dir: Path) -> str:
    with sqlite3.connect(data_dir / "registry.db") as registry:
        return str(registry.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_empty_registry_is_made_and_a_made_one_stays(tmp_path: Path) -> None:
    for _ in range(2):
        done = run(tmp_path / "data")
        assert (done.returncode, done.stdout) == (0, "The registry fits this release.\n"), done.stderr
        assert revision(tmp_path / "data") == HEAD


def test_registry_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 0
    with sqlite3.connect(tmp_path / "registry.db") as registry:
        registry.execute("UPDATE alembic_version SET version_num = '9999'")
    done = run(tmp_path)
    assert done.returncode == 1
    assert "newer release" in done.stderr
    assert revision(tmp_path) == "9999"
