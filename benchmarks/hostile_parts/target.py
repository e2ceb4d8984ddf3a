"""The service under attack, and the steady client beside the attacks."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
import uuid
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
MODEL = "line"
PREDICT = f"/v1/models/{MODEL}:predict"
GOOD = b'{"instances":[{"x":1.0}]}'
EVERY_S = 0.02


class Target:
    """The whole service as `scripts/serve` starts it, with the model `line` (one feature, `x`)."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = int(probe.getsockname()[1])

    def __enter__(self) -> Target:
        own = {"DATABASE_URL": "", "REDIS_URL": "", "ARTIFACTS_URL": "", "LOG_LEVEL": "WARNING", "SERVING_LANES": "1"}
        command = [sys.executable, "-m", "workers.service", "--data-dir", str(self._data_dir), "--port", str(self.port)]
        with (self._data_dir / "service.log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}, stdout=log, stderr=log)
        try:
            self._wait(lambda: self.call("GET", "/readyz")[0] == 200, 120)
            self.token = (self._data_dir / "admin-token").read_text().strip()
            made = self.call("POST", "/v1/tokens", b'{"name":"steady","scopes":["predict"]}')[1]
            self.steady_token = str(json.loads(made)["token"])
            self._train()
            self._wait(lambda: self.call("POST", PREDICT, GOOD)[0] == 200, 120)
            self._wait(lambda: len(self.predictors()) > 1, 120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()

    token = "none"

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        try:
            given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=30)

    @property
    def api(self) -> psutil.Process:
        """The one lane."""
        return self._named("lane-0")[0]

    def predictors(self) -> list[psutil.Process]:
        """The one that serves, and the spare."""
        return self._named("predictor")

    def memory_mib(self) -> float:
        return float(self.api.memory_info().rss) / 2**20

    def reset_peak(self) -> None:
        Path(f"/proc/{self.api.pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        lines = Path(f"/proc/{self.api.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def dataset(self) -> str:
        return str(json.loads(self.call("GET", "/v1/datasets")[1])["datasets"][0]["id"])

    def _named(self, name: str) -> list[psutil.Process]:
        """The service's processes that gave themselves that name."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            try:
                if process.name() == name:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def _train(self) -> None:
        boundary = uuid.uuid4().hex
        rows = "x,y\n" + "".join(f"{i / 10},{i / 5 + 1}\n" for i in range(500))
        form = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\n{MODEL}\r\n--{boundary}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n{rows}\r\n--{boundary}--\r\n'
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        dataset = json.loads(self.call("POST", "/v1/datasets", form.encode(), kind)[1])["id"]
        job: dict[str, Any] = {
            "type": "train", "model": MODEL, "estimator": {"type": "LinearRegressor", "args": {}}, "columns": "auto",
            "data": {"train": {"dataset": dataset, "label": "y", "batch_size": 64}}, "train": {"max_steps": 50},
        }  # fmt: skip
        status, body = self.call("POST", "/v1/jobs", json.dumps(job).encode())
        if status != 202:
            raise SystemExit(f"the job was refused: {body[:500]!r}")

    def _wait(self, condition: Any, within_s: float) -> None:
        end = time.monotonic() + within_s
        while True:
            try:
                if condition():
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise SystemExit(f"the service did not come: see {self._data_dir / 'service.log'}")
            time.sleep(0.1)


class Steady:
    """Asks for a prediction 50 times per second over one connection; `longest_s`, `late_s` and `failed` afterwards.

    `late_s`: by how much it woke too late at most. So long this process waited for a processor itself: as much of
    `longest_s` may be the machine's.
    """

    def __init__(self, target: Target) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_ask, args=(target.port, target.steady_token, theirs))
        self.longest_s = self.late_s = 0.0
        self.failed = 0

    def __enter__(self) -> Steady:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.send("stop")
        self.longest_s, self.late_s, self.failed = self._ours.recv()
        self._process.join()


def _ask(port: int, token: str, control: Connection) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    longest, late, failed = 0.0, 0.0, 0
    slept = time.perf_counter()
    while not control.poll(EVERY_S):
        started = time.perf_counter()
        late = max(late, started - slept - EVERY_S)
        try:
            connection.request("POST", PREDICT, GOOD, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            failed += answer.status != 200
        except (OSError, http.client.HTTPException):  # a new connection is what a client would try next
            connection.close()
            failed += 1
        slept = time.perf_counter()
        longest = max(longest, slept - started)
    control.send((longest, late, failed))
