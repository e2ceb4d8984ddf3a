"""Parts of TensorFlow 2 switched off before training, each time in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("v2_off.py")


@pytest.mark.parametrize(
    "switches",
    [
        ["disable_v2_behavior"],
        ["disable_eager_execution"],
        ["disable_resource_variables"],
        ["disable_control_flow_v2"],
        ["disable_eager_execution", "disable_resource_variables", "disable_control_flow_v2", "disable_v2_tensorshape"],
    ],
    ids="+".join,
)
def test_everything_works_with_v2_switched_off(tmp_path: Path, switches: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *switches],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(tmp_path)},
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert run.stdout.split() == ["done"]
