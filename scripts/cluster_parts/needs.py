"""What `scripts/cluster-test` needs of this machine, each with the way to have it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from workers.service.broker import BrokerMissing, find_server

ROOT = Path(__file__).resolve().parents[2]
_POSTGRESQL = "/usr/lib/postgresql"


def find_postgresql() -> Path | None:
    """The directory of `initdb` and `postgres`: of PATH, or where Debian has them."""
    found = [Path(path).resolve().parent for path in (shutil.which("initdb"), shutil.which("postgres")) if path]
    found += sorted(Path(_POSTGRESQL).glob("*/bin"), reverse=True)
    return next((place for place in found if (place / "initdb").exists() and (place / "postgres").exists()), None)


def _namespaces() -> bool:
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


def _broker() -> bool:
    try:
        return bool(find_server())
    except BrokerMissing:
        return False


def _outside_tmp() -> bool:
    return not any(path.resolve().is_relative_to("/tmp") for path in (ROOT, Path(sys.executable)))


def _programs(*names: str) -> Callable[[], bool]:
    return lambda: all(map(shutil.which, names))


#: what is asked for, whether it is there, and how to have it; the first that is missing may be why others are
NEEDS: list[tuple[str, Callable[[], bool], str]] = [
    ("Linux", lambda: sys.platform == "linux", "run it there"),
    ("root", lambda: os.geteuid() == 0, "run it as root, in a container or virtual machine of its own where you can"),
    ("ip", _programs("ip"), "apt-get install iproute2"),
    ("unshare, mount and setpriv", _programs("unshare", "mount", "setpriv"), "apt-get install util-linux mount"),
    ("the right to make namespaces", _namespaces, "in a container: docker run --privileged"),
    ("initdb and postgres", lambda: find_postgresql() is not None, "apt-get install postgresql"),
    ("redis-server or valkey-server", _broker, "apt-get install redis-server"),
    ("a checkout outside /tmp, which each host has for itself", _outside_tmp, "move it, and its .venv"),
]


def missing() -> list[str]:
    """A line for each thing that is not here; once one is missing that others rest on, these are not asked for."""
    found = []
    for name, there, remedy in NEEDS:
        if not there():
            found.append(f"scripts/cluster-test needs {name}: {remedy}.")
            if name in ("Linux", "root"):
                break
    return found
