"""The first process of a host, in namespaces of its own: takes the file system away from it but for the host's own
directory, and keeps the host's programs running.

    python -m scripts.cluster_parts.host HOST.json      as process 1 of a new mount, PID, UTS and IPC namespace
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_AGAIN_S = 1.0
"""A program that ended is started again after so long, as a container's restart policy does."""
_KERNELS_OWN = ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs", "securityfs", "debugfs", "bpf")


class Mount(NamedTuple):
    """A mounted file system: the device, the part of it that is mounted, where, its type, whether it can be written."""

    device: str
    root: str
    at: str
    kind: str
    writable: bool


def mounts(mountinfo: str) -> list[Mount]:
    """Those of a `/proc/PID/mountinfo` that can be reached: no later one lies over them."""
    found: list[Mount] = []
    for mount in _listed(mountinfo):
        found = [below for below in found if not Path(below.at).is_relative_to(mount.at)]
        found.append(mount)
    return found


def _listed(mountinfo: str) -> Iterator[Mount]:
    for line in mountinfo.splitlines():
        fields, _, of_device = line.partition(" - ")
        _, _, device, root, at, options, *_ = fields.split()
        kind, _, device_options = of_device.split(maxsplit=2)
        writable = "rw" in options.split(",") and "rw" in device_options.split(",")
        yield Mount(device, *(path.encode().decode("unicode_escape") for path in (root, at)), kind, writable)


def shared_places(one: str, other: str) -> list[str]:
    """Where two hosts, of which the mounts are given, can write into one another's files."""
    first, second = (
        [mount for mount in mounts(info) if mount.writable and mount.kind not in _KERNELS_OWN] for info in (one, other)
    )
    return sorted(
        f"{mine.at} and {its.at}"
        for mine in first
        for its in second
        if mine.device == its.device
        if Path(mine.root).is_relative_to(its.root) or Path(its.root).is_relative_to(mine.root)
    )


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=60)


def close_off(place: Path, own: Path) -> None:
    """What was `own` becomes all there is at `place`; the rest of the file system cannot be written any more, and /tmp
    and shared memory are the host's own."""
    _run("mount", "--bind", str(own), str(place))
    for at in ("/tmp", "/dev/shm"):
        _run("mount", "-t", "tmpfs", "-o", "mode=1777", "none", at)
    keep = {str(place), "/tmp", "/dev/shm"}
    for mount in mounts(Path("/proc/self/mountinfo").read_text()):
        if mount.writable and mount.kind not in _KERNELS_OWN and mount.at not in keep:
            subprocess.run(["mount", "-o", "remount,bind,ro", mount.at], capture_output=True, timeout=60, check=False)


def start(program: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            program["command"],
            env=program["environment"],
            cwd=program["directory"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def main() -> None:
    said = json.loads(Path(sys.argv[1]).read_text())
    place = Path(said["place"])
    close_off(place, Path(said["own"]))
    socket.sethostname(said["name"])
    for name in ("log", "tmp"):
        (place / name).mkdir(exist_ok=True)
        (place / name).chmod(0o1777)
    running = {name: start(program, place / "log" / name) for name, program in said["programs"].items()}
    while True:
        ended, status = os.wait()  # also orphans: this is process 1
        for name, process in running.items():
            if process.pid == ended:
                with (place / "log" / name).open("a") as log:
                    log.write(f"-- {name} ended with {os.waitstatus_to_exitcode(status)}; it is started again\n")
                time.sleep(_AGAIN_S)
                running[name] = start(said["programs"][name], place / "log" / name)
                break


if __name__ == "__main__":
    main()
