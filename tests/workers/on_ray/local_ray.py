"""A Ray of one node on this machine, where `scripts/ray` has made its environment."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for

_ROOT = Path(__file__).parents[3]
PYTHON = _ROOT / ".ray/bin/python"
MISSING = not (_ROOT / ".ray/made").exists()


class LocalRay:
    """A head of `cpus`, and the part of the service that places jobs there.

    Args:
        environment: of what runs jobs.
    """

    def __init__(self, directory: Path, environment: dict[str, str], cpus: int = 2) -> None:
        self._log = directory / "ray.log"
        port = free_port()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PYTHONWARNINGS": "ignore",
            "EXECUTOR": "ray",
            "RAY_ADDRESS": f"127.0.0.1:{port}",
            "RAY_USAGE_STATS_ENABLED": "0",
            **environment,
        }
        options = {
            "port": port,
            "num-cpus": cpus,
            "include-dashboard": "false",
            "node-ip-address": "127.0.0.1",
            "ray-client-server-port": free_port(),
            "dashboard-agent-listen-port": free_port(),
            "object-store-memory": 80 * 2**20,
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        self._processes = [self._start([PYTHON.with_name("ray"), "start", "--head", "--block", *words])]
        wait_for(lambda: self._listens(port), "Ray")
        self._processes.append(self._start([PYTHON, "-m", "workers.on_ray"]))

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(tied(command), env=self.environment, stdout=log, stderr=log)

    def _listens(self, port: int) -> bool:
        assert self._processes[0].poll() is None if hasattr(self, "_processes") else True, self.log()
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return True
        except OSError:
            return False
