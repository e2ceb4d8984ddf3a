"""Parts of TensorFlow 2 switched off before training, each time in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("v2_off.py")
Life = Callable[[list[str], Path], int]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """life(switches, directory): the exit status of a process with those switches."""
    home = tmp_path_factory.mktemp("home")
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=home,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(home)},
        ) as process,
    ):

        def run(switches: list[str], directory: Path) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(" ".join([str(directory), *switches]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, (home / "log").read_text()[-4000:]
            return int(answer)

        yield run


@pytest.mark.parametrize(
    "switches",
    [
        ["disable_v2_behavior"],  # all of them
        ["disable_eager_execution"],
        ["disable_resource_variables"],
        ["disable_control_flow_v2"],
    ],
    ids="+".join,
)
def test_everything_works_with_v2_switched_off(life: Life, tmp_path: Path, switches: list[str]) -> None:
    assert life(switches, tmp_path) == 0, (tmp_path / "log").read_text()[-4000:]
