"""The whole service on one machine: starts its parts, restarts what dies, stops them in order.

    python -m workers.service [--host 127.0.0.1] [--port 8000] [--data-dir data]

Parts: the broker (unless REDIS_URL is set), the API (which runs its predictor), one Celery worker a slot (each runs
its trainer), and the reconciler. Every part is a process of its own that can also be started alone, with the same
environment variables (`app/config.py`); `docker-compose.yml` does that.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import structlog

from app.config import Settings
from app.log import configure
from app.process import die_with_parent
from workers.service import broker

log = structlog.get_logger("service")

_POLL_S = 0.05
_API_FIRST_S = 0.8
"""Head start of the API: people wait for it, and every part's imports want a core."""
_QUICK_EXIT_S = 5.0
_BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)


@dataclass
class Part:
    """One process of the service and how to treat it."""

    name: str
    argv: list[str]
    stop_within_s: float
    before_start: Callable[[int], None] = lambda quick_exits: None
    delay_s: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    quick_exits: int = field(default=0)
    environment: dict[str, str] = field(default_factory=dict)


def parts_of(settings: Settings) -> list[Part]:
    """The parts in the order of their start; they are stopped in the opposite order."""
    python = [sys.executable, "-m"]
    parts = []
    if not settings.redis_url:

        def start_empty(quick_exits: int) -> None:
            if quick_exits >= 2 and (place := broker.put_aside(settings)):
                log.warning(
                    "the broker could not read its files; it starts empty, jobs are sent again", files=place.name
                )

        parts.append(Part("broker", broker.command(settings), 5.0, start_empty))
    parts.append(Part("api", [*python, "app.main"], 15.0))
    parts.append(Part("reconciler", [*python, "workers.reconciler"], 5.0, delay_s=_API_FIRST_S))
    for slot in range(settings.worker_slots):
        worker = [*python, "celery", "-A", "workers.celery_app", "worker", "--pool=prefork", "--concurrency=1"]
        options = [f"--hostname=slot{slot}-{os.getpid()}@%h"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", f"--loglevel={settings.log_level}"]
        argv = [*worker, *options, *quiet]
        part = Part(f"worker-{slot}", argv, settings.grace_s + 10.0, delay_s=_API_FIRST_S)
        if settings.gpu_names and slot >= len(settings.gpu_names):
            part.environment["GPUS"] = "none"
        parts.append(part)
    return parts


class Supervisor:
    """Keeps the parts running until it is told to stop."""

    def __init__(self, parts: list[Part], environment: dict[str, str], each_round: Callable[[], None]) -> None:
        self.parts = parts
        self.environment = environment
        self.each_round = each_round
        self.stopping = False

    def start(self, part: Part) -> None:
        part.process = subprocess.Popen(
            part.argv,
            env=self.environment | part.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops the parts in order
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - this process has one thread
        )
        part.started_at = time.monotonic()
        log.info("started", part=part.name, pid=part.process.pid)

    def run(self) -> None:
        """Blocks until `stopping` is set, then stops everything."""
        try:
            for part in self.parts:
                part.start_at = time.monotonic() + part.delay_s
            while not self.stopping:
                for part in self.parts:
                    self._look_after(part)
                self.each_round()
                time.sleep(_POLL_S)
        finally:
            self.stop()

    def _look_after(self, part: Part) -> None:
        now = time.monotonic()
        if part.process is not None:
            status = part.process.poll()
            if status is None:
                return
            end_group(part.process, signal.SIGKILL)  # what it may have left behind
            part.process = None
            part.quick_exits = part.quick_exits + 1 if now - part.started_at < _QUICK_EXIT_S else 0
            wait = _BACKOFF_S[min(part.quick_exits, len(_BACKOFF_S) - 1)]
            part.start_at = now + wait
            log.warning("died, will be restarted", part=part.name, status=status, in_s=wait)
        elif now >= part.start_at:
            part.before_start(part.quick_exits)
            self.start(part)

    def stop(self) -> None:
        """Stops the parts, the last started first: the workers get their grace while API and broker still answer."""
        for part in reversed(self.parts):
            process = part.process
            if process is None:
                continue
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(part.stop_within_s)
                except subprocess.TimeoutExpired:
                    log.warning("did not stop in time, killed", part=part.name, seconds=part.stop_within_s)
            end_group(process, signal.SIGKILL)
            process.wait()
            log.info("stopped", part=part.name)
            part.process = None


def end_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals everything in the process group that `process` led."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def lock_data_dir(data_dir: Path) -> IO[str]:
    """Makes the data directory and takes its lock; keep the result open. Raises SystemExit if it is in use."""
    data_dir.mkdir(parents=True, exist_ok=True)
    handle = (data_dir / "service.lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise SystemExit(
            f"Another service runs in the data directory {data_dir}. Stop it, or choose another one with --data-dir."
        ) from None
    return handle


def check_port(host: str, port: int) -> None:
    """Raises SystemExit when the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SystemExit(
                f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --host or --port."
            ) from None


def free_port(host: str) -> int:
    """A port that is free now, for `--port 0`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class Announcement:
    """Says where the service is, once, as soon as `/readyz` answers."""

    def __init__(self, address: str, settings: Settings) -> None:
        self._address = address
        self._token = settings.data_dir / "admin-token"
        self._next_look = 0.0
        self._made = False

    def __call__(self) -> None:
        if self._made or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + 0.3
        try:
            with urllib.request.urlopen(f"{self._address}/readyz", timeout=0.5):
                self._made = True
        except (urllib.error.URLError, OSError):
            return
        print(
            f"\nEstimator Service runs on {self._address}\n"
            f"  dashboard   {self._address}/\n  API docs    {self._address}/docs\n"
            f"  token       {self._token}   (send it as: Authorization: Bearer TOKEN)\n"
            "Ctrl-C stops it.\n",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> None:
    defaults = Settings()
    configure(defaults.log_level)
    parser = argparse.ArgumentParser(prog="scripts/serve", description="Runs the whole service on this machine.")
    parser.add_argument("--host", default=defaults.host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=defaults.port, type=int, help="port; 0: any free one (default: %(default)s)")
    parser.add_argument(
        "--data-dir", default=defaults.data_dir, type=Path, help="where everything is kept (%(default)s)"
    )
    options = parser.parse_args(arguments)
    port = options.port or free_port(options.host)
    settings = Settings(host=options.host, port=port, data_dir=options.data_dir.resolve())

    lock = lock_data_dir(settings.data_dir)
    check_port(settings.host, settings.port)
    environment = {
        **os.environ,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "DATA_DIR": str(settings.data_dir),
        "PYTHONUNBUFFERED": "1",
    }
    shown_host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{'127.0.0.1' if settings.host in ('0.0.0.0', '::') else shown_host}:{settings.port}"
    try:
        parts = parts_of(settings)
    except broker.BrokerMissing as error:
        raise SystemExit(str(error)) from None
    supervisor = Supervisor(parts, environment, Announcement(address, settings))

    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with lock:
        supervisor.run()
