"""How much memory a process holds."""

from __future__ import annotations

import resource
import sys

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
