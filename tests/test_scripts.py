"""The shell scripts at the root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# In place of the interpreter that `_venv` leaves in $PY: says what it was asked to run, and ends as it was told.
_INTERPRETER = """#!/usr/bin/env bash
echo "ran $*"
case "$*" in
    *--ignore=tests/estimator*) exit "$SERVICE" ;;
    *) exit "$ENGINE" ;;
esac
"""


@pytest.mark.parametrize(("service", "engine", "status"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (2, 1, 2)])
def test_status_of_the_test_script_is_that_of_the_worse_of_both_runs(
    tmp_path: Path, service: int, engine: int, status: int
) -> None:
    script = shutil.copy(ROOT / "scripts" / "test", tmp_path / "test")
    (tmp_path / "python").write_text(_INTERPRETER)
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "_venv").write_text(f"PY={tmp_path}/python\n")

    ended = subprocess.run(
        [script], env={"PATH": "/usr/bin:/bin", "SERVICE": str(service), "ENGINE": str(engine)}, capture_output=True
    )

    assert ended.returncode == status
    assert ended.stdout.decode().splitlines() == [
        "ran -m pytest tests --ignore=tests/estimator",
        "ran -m pytest tests/estimator",
    ]
