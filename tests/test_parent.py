"""Processes that end with the one that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent
_CHILD = """
import time
from app.process import die_with_parent
die_with_parent()
print("asked", flush=True)
time.sleep(60)
"""
_PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {_CHILD!r}])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked for this")
def test_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        lines = {parent.stdout.readline().strip() for _ in range(2)}
        child = psutil.Process(int(next(line for line in lines if line != "asked")))
        parent.kill()

    gone, alive = psutil.wait_procs([child], timeout=60)

    assert (len(gone), alive) == (1, [])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked for this")
def test_what_the_tests_start_ends_when_they_are_killed() -> None:
    code = """
import subprocess, time
from tests.tied import tied
child = subprocess.Popen(tied(["sh", "-c", "echo $$; exec sleep 60"]), start_new_session=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.ppid() == parent.pid
        parent.kill()

    gone, alive = psutil.wait_procs([child], timeout=60)

    assert (len(gone), alive) == (1, [])


def test_parent_may_be_the_first_process_of_a_container() -> None:
    code = (
        "import os; os.getppid = lambda: 1; from app.process import die_with_parent; die_with_parent(); print('lives')"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout == "lives\n"
