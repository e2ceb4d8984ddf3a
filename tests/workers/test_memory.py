from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workers import memory


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "file", "content"),
    [
        ("0::/jobs.slice/worker\n", "jobs.slice/worker/memory.events", "low 0\noom 9\noom_kill 3\n"),
        ("0::/host/path\n", "memory.events", "oom_kill 3\noom_group_kill 1\n"),  # inside of a container
        ("4:memory:/a/b\n0::/\n", "memory/a/b/memory.oom_control", "under_oom 0\noom_kill 3\n"),
        ("4:cpu,memory:/a\n", "memory/memory.oom_control", "oom_kill_disable 0\noom_kill 3\n"),
    ],
)
def test_kills_of_the_own_control_group_are_counted(tmp_path: Path, groups: str, file: str, content: str) -> None:
    write(tmp_path / "proc/self/cgroup", groups)
    write(tmp_path / "proc/vmstat", "oom_kill 7\n")
    write(tmp_path / "sys/fs/cgroup" / file, content)
    assert memory.oom_kills(tmp_path) == 3


def test_without_a_group_it_is_the_hosts_count(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/a\n")
    write(tmp_path / "proc/vmstat", "nr_free_pages 5\noom_kill 7\n")
    assert memory.oom_kills(tmp_path) == 7
    assert memory.oom_kills(tmp_path / "elsewhere") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts them")
def test_this_system_tells() -> None:
    assert memory.oom_kills() is not None
