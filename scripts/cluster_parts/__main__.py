"""The service on five hosts made of namespaces of this machine: two with APIs, two with workers, one with PostgreSQL,
Redis and SeaweedFS. Does the demo's job, a gang over two hosts, a label seen on both APIs; cuts hosts off and kills
them; ends with what was checked, and with 1 where something did not hold."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.cluster_parts import needs
from tests.tied import tied

PREFIX = "estimator-cluster-"
_NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/cluster-test", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--keep", action="store_true", help="keep the hosts' files and logs")
    parser.add_argument("--check", action="store_true", help="only say what is missing here")
    options = parser.parse_args()
    lacking = needs.missing()
    if lacking:
        print("\n".join(lacking), file=sys.stderr)
        return 2
    if options.check:
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    remove_leftovers(Path("/var/tmp"))
    with run_directory(Path("/var/tmp"), keep=options.keep) as place:
        status = run_inside(place)
        result = place / "result.json"
        if options.json and result.exists():
            shutil.copy(result, options.json)
    return status


@contextmanager
def run_directory(parent: Path, *, keep: bool) -> Iterator[Path]:
    """A directory for the hosts' files, locked while it is in use."""
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    place.chmod(0o755)  # PostgreSQL runs as nobody
    lock = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (place / "hosts").mkdir()
        yield place
    finally:
        os.close(lock)
        if keep:
            print(f"The hosts' files and logs are in {place}/hosts", flush=True)
        else:
            shutil.rmtree(place, ignore_errors=True)


def remove_leftovers(parent: Path) -> list[Path]:
    """Removes directories of runs that were killed. Their hosts are gone: the kernel ends them with the run."""
    removed = []
    for place in sorted(parent.glob(f"{PREFIX}*")):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # it runs
        finally:
            os.close(descriptor)
        shutil.rmtree(place, ignore_errors=True)
        removed.append(place)
    return removed


def run_inside(place: Path, command: list[str] | None = None) -> int:
    """Runs the test, or a command, as process 1 of namespaces of its own: whatever ends this one ends all of it."""
    inside = command or [sys.executable, "-m", "scripts.cluster_parts.inside", str(place)]
    process = subprocess.Popen(tied([*_NAMESPACES, *inside], by=signal.SIGKILL), cwd=needs.ROOT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait(60)  # it was interrupted, too, and says so
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
