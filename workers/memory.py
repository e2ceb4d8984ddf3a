"""Memory of processes."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import psutil


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def held_bytes(pid: int) -> int:
    """What a process keeps resident, pages of files left out: the system drops those when memory gets short. 0 when
    the process is gone."""
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(info.rss - getattr(info, "shared", 0))


def peak_bytes() -> int:
    """The most that was resident since the process began."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def oom_kills(root: Path = Path("/")) -> int | None:
    """Number of processes that the kernel has ended because memory ran out: of this process' control group, or of the
    whole host where the group cannot be seen; None where that is unknown too (not Linux).

    See "cgroup-v2", `memory.events`, and "cgroup-v1/memory", `memory.oom_control`, in the kernel's documentation.

    Args:
        root: where /proc and /sys are.
    """
    for path in _counters(root):
        try:
            found = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return None


def _counters(root: Path) -> list[Path]:
    """Files that hold the count, the most specific first. Inside a container the group's path may be the host's, and
    what is mounted is the group itself."""
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    found = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        place = path.strip("/")
        if controllers == "":
            found += [groups / place / "memory.events", groups / "memory.events"]
        elif "memory" in controllers.split(","):
            found += [groups / "memory" / place / "memory.oom_control", groups / "memory/memory.oom_control"]
    return [*found, root / "proc/vmstat"]
