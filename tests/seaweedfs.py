"""SeaweedFS for tests: `weed` of PATH, or the one that `scripts/cluster-test` installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.tied import tied

KEYS = {"AWS_ACCESS_KEY_ID": "estimator", "AWS_SECRET_ACCESS_KEY": "a1b2c3"}
_INSTALLED = Path(__file__).parents[1] / ".cluster-test" / "bin"
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")


def find() -> str | None:
    """Its program; None where it is not here."""
    return shutil.which("weed") or shutil.which("weed", path=str(_INSTALLED))


@contextmanager
def running(command: list[str], directory: Path) -> Iterator[str]:
    """The address of the S3 that a shell's command starts, on ports that are free here."""
    program = find()
    assert program is not None
    ports = {name: free_port() for name in (*_PORTS, *(f"{name}.grpc" for name in _PORTS))}
    options = "".join(f" -{name}={port}" for name, port in ports.items())
    options += f" -s3.localSocket={directory}/s3.sock -filer.localSocket={directory}/filer.sock"
    environment = {"PATH": f"{Path(program).parent}:{os.environ['PATH']}", "HOME": str(directory), **KEYS}
    with (directory / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            tied([*command[:-1], command[-1] + options]), cwd=directory, env=environment, stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{ports['s3.port']}"
    finally:
        process.kill()
        process.wait()
        for socket in Path("/tmp").glob("seaweedfs-*.sock"):
            if set(re.findall(r"\d+", socket.name)) & {str(port) for port in ports.values()}:
                socket.unlink(missing_ok=True)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
