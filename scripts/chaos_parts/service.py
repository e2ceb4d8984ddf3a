"""The service under test: started as users start it, its processes found by name and descent, spoken to over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "LEASE_S": "4",
    "HEARTBEAT_S": "0.5",
    "RESEND_AFTER_S": "2",
    "RECONCILE_S": "0.5",
    "RETRY_BACKOFF_S": "0.2",
    "ORPHAN_GRACE_S": "30",
    "GRACE_S": "20",
    "WORKER_SLOTS": "2",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


class NotRunning(RuntimeError):
    """The service as a whole has stopped, or does not come up."""


class Service:
    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.log = data_dir / "service.log"
        self._environment = {**os.environ, **SETTINGS, **environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.service", "--port", "0", "--data-dir", str(data_dir)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._http = httpx.Client(
            base_url=self._wait_for_address(),
            headers={"Authorization": f"Bearer {(data_dir / 'admin-token').read_text().strip()}"},
            timeout=10,
            trust_env=False,
        )

    def _wait_for_address(self, seconds: float = 90.0) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith("Estimator Service runs on"):
                    return line.split()[-1]
            time.sleep(0.1)
        raise NotRunning(f"The service did not start; its log: {self.log}")

    def call(self, method: str, path: str, *, patience_s: float = 90.0, **options: Any) -> dict[str, Any]:
        """Asks until there is an answer: the API may be dead for a moment. Creates carry an Idempotency-Key.

        Raises:
            NotRunning: no answer in that time, or one that is no success.
        """
        end = time.monotonic() + patience_s
        while True:
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                problem = repr(error)
            else:
                if answer.is_success:
                    return dict(answer.json())
                problem = f"{answer.status_code} {answer.text[:500]}"
                if answer.status_code not in (409, 429, 503):
                    raise NotRunning(f"{method} {path} was answered {problem}")
            if time.monotonic() > end:
                raise NotRunning(f"{method} {path}: {problem}")
            time.sleep(0.3)

    def processes(self, kind: str) -> list[psutil.Process]:
        """Living ones of a kind: broker api (the serving parent) lane fork-server reconciler worker child
        trainer."""
        return [process for found, process in self.family() if found == kind]

    def family_of(self, worker: psutil.Process) -> list[psutil.Process]:
        """A worker's main process with its pool child and trainer, which may be a fork of another process: its
        standard input is a pipe that the child has as well."""
        found = [worker, *worker.children(recursive=True)]
        pipes = {pipe for process in found[1:] for pipe in _pipes(process)}
        others = [one for one in self.processes("trainer") if one not in found]
        return [*found, *(one for one in others if pipes & set(_pipes(one, "0")))]

    def family(self) -> list[tuple[str, psutil.Process]]:
        """All living processes of a kind that is known: those of `processes`, reader (of uploads) and predictor."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                kind = _kind(" ".join(process.cmdline()), process.ppid() == self.process.pid)
            except psutil.Error:
                continue
            if kind is not None:
                found.append((kind, process))
        return found

    def stop(self) -> list[str]:
        """Stops the service; gives the command lines of what it left running."""
        family = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        self._http.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _, left = psutil.wait_procs(family, timeout=10)
        told = [_command(process) for process in left]
        for process in left:
            process.kill()
        return told

    def tidy_up(self, is_tidy: Any, seconds: float = 45.0) -> None:
        """Runs a reconciler with a grace of a second until `is_tidy()`, after the service was stopped."""
        with self.log.open("ab") as log:
            reconciler = subprocess.Popen(
                [sys.executable, "-m", "workers.reconciler"],
                cwd=ROOT,
                env={**self._environment, "DATA_DIR": str(self.data_dir), "ORPHAN_GRACE_S": "1"},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + seconds
        while not is_tidy() and time.monotonic() < end and reconciler.poll() is None:
            time.sleep(0.3)
        reconciler.terminate()
        reconciler.wait(20)


def _pipes(process: psutil.Process, number: str = "*") -> list[str]:
    try:
        links = [str(path.readlink()) for path in Path(f"/proc/{process.pid}/fd").glob(number)]
    except OSError:
        return []
    return [link for link in links if link.startswith("pipe:")]


def _kind(command: str, is_part: bool) -> str | None:
    if "workers.trainer" in command:
        return "trainer"
    if "celery" in command:
        return "worker" if is_part else "child"
    for module, kind in (("app.datasets.ingest_process", "reader"), ("app.serving.", "predictor")):
        if module in command:
            return kind
    if "workers.fork_server" in command:
        return "trainer" if "keeper" in command else "fork-server"  # a keeper ends with its trainer, and it with that
    if "app.main" in command or "app.lanes.nursery" in command:
        return "lane"  # or what forks them
    if not is_part:
        return None
    if "app.lanes" in command:
        return "api"
    if "workers.reconciler" in command:
        return "reconciler"
    return "broker" if "broker.sock" in command or "-server" in command else None


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return f"process {process.pid}"
