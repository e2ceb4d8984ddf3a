from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'
_OWN = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _MOUNT]


def test_full_disk_keeps_the_last_checkpoint_and_the_job_goes_on(tmp_path: Path, migrated_sqlite: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if sys.platform != "linux" or subprocess.run([*_OWN, str(disk), "true"], capture_output=True).returncode:
        pytest.skip("no file system of one's own can be mounted here")
    program = [
        sys.executable,
        "-m",
        "tests.workers.attempt.full_disk",
        str(tmp_path / "data"),
        str(migrated_sqlite),
        str(disk),
    ]
    done = subprocess.run([*_OWN, str(disk), *program], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "outcome": "queued",
        "kind": "disk_full",
        "steps": [20],
        "whole": [True],
        "after": "succeeded",
        "resumed": 20,
    }
