"""The whole service on one machine: starts its parts, restarts what dies or hangs, stops them in order.

    python -m workers.service [--host 127.0.0.1] [--port 8000] [--data-dir data]

Parts: the broker (unless BROKER_URL or REDIS_URL is set), the serving parent (which runs the API and predictors), one
Celery worker a slot (each runs its trainer), the reconciler, and with EXECUTOR=ray the part that places jobs on Ray.
The supervisor imports the API first, and most parts begin as its forks: one import, and one copy in memory, for all.
Every part is a process of its own that can also be started alone, with the same environment variables
(`app/config.py`); `docker-compose.yml` does that.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import importlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import structlog

from app.config import NO_RAY, Settings
from app.log import configure
from app.private_files import UnsafePath, only_for_us, protect
from app.process import FORK_SERVER, ONE_NUMPY_THREAD, TRAINERS_FD, die_with_parent
from app.serving.forkserver import POSSIBLE
from workers.service import broker
from workers.service.forked_part import ForkedPart
from workers.service.liveness import Pulse, ReplyProbe, SignOfLife

log = structlog.get_logger("service")

_POLL_S = 0.05
_API_FIRST_S = 0.8
"""Head start of the API: people wait for it, and every part's imports want a core."""
_QUICK_EXIT_S = 5.0
_STATEMENT_S = 30.0
_START_S = 120.0
"""What a part may take from its start to its first sign of life."""
_PAUSE_S = 2.0
"""A round that comes so much later than it should: this process, or the machine, stood still meanwhile."""
_BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)


class RayMissing(Exception):
    """Ray, which the settings ask for, is not installed."""


@dataclass
class ServicePart:
    """One process of the service and how to treat it.

    Attributes:
        life: how it shows that it lives; None: only its exit is noticed.
        hang_s: after so many seconds without a sign of life it is killed and started again.
        forks: it starts for the first time as a fork of the supervisor, and so shares what that has imported. Started
            again, it imports the code as it is then.
        once: it ends by itself, and is not started again.
    """

    name: str
    argv: list[str]
    stop_within_s: float
    before_start: Callable[[int], None] = lambda quick_exits: None
    delay_s: float = 0.0
    life: SignOfLife | None = None
    hang_s: float = 30.0
    forks: bool = False
    once: bool = False
    process: subprocess.Popen[bytes] | ForkedPart | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    quick_exits: int = field(default=0)
    environment: dict[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    alive_at: float = 0.0
    has_shown_life: bool = False


def parts_of(settings: Settings) -> list[ServicePart]:
    """The parts in the order of their start; they are stopped in the opposite order."""
    python = [sys.executable, "-m"]
    parts = []
    if settings.broker_is_supervised:

        def start_empty(quick_exits: int) -> None:
            if quick_exits >= 2 and (place := broker.put_aside(settings)):
                log.warning(
                    "the broker could not read its files; it starts empty, jobs are sent again", files=place.name
                )

        life = ReplyProbe(str(settings.broker_socket), b"PING\r\n")
        parts.append(
            ServicePart("broker", broker.command(settings), 5.0, start_empty, life=life, hang_s=settings.hang_s)
        )
    if POSSIBLE:
        tables = [*python, "workers.service.make_tables"]
        parts.append(ServicePart("tables", tables, 5.0, import_registry, forks=True, once=True))
    # The serving parent; it looks after the API processes itself.
    api = ServicePart("api", [*python, "app.lanes"], 15.0, life=Pulse(), hang_s=settings.hang_s, forks=POSSIBLE)
    if POSSIBLE:
        api.before_start = import_shared
    parts.append(api)
    # It shows life between two of its statements, and the database may take half a minute for one.
    reconciler = ServicePart("reconciler", [*python, "workers.reconciler"], 5.0, delay_s=_API_FIRST_S, forks=POSSIBLE)
    reconciler.life, reconciler.hang_s = Pulse(), _STATEMENT_S + settings.hang_s
    parts.append(reconciler)
    if settings.executor == "ray":
        if importlib.util.find_spec("ray") is None:
            raise RayMissing(NO_RAY)
        placer = ServicePart("on-ray", [*python, "workers.on_ray"], 10.0, delay_s=_API_FIRST_S)
        placer.life, placer.hang_s = Pulse(), _STATEMENT_S + settings.hang_s
        parts.append(placer)
    for slot in range(settings.worker_slots if settings.uses_celery else 0):
        worker = [*python, "celery", "-A", "workers.celery_app", "worker", "--pool=prefork", "--concurrency=1"]
        options = [f"--hostname=slot{slot}-{os.getpid()}@%h"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", f"--loglevel={settings.log_level}"]
        argv = [*worker, *options, *quiet]
        part = ServicePart(f"worker-{slot}", argv, settings.grace_s + 10.0, delay_s=_API_FIRST_S, forks=POSSIBLE)
        part.life, part.hang_s = Pulse(), settings.hang_s
        if settings.gpu_names and (slot + 1) * settings.slot_devices > len(settings.gpu_names):
            part.environment["GPUS"] = "none"
        parts.append(part)
    return parts


def share_fork_server(parts: Sequence[ServicePart]) -> None:
    """Has the serving parent's fork server fork the trainers of the workers as well: TensorFlow is imported once. Both
    inherit a socket for it, of which we hold the ends: what was asked waits there while the fork server is replaced."""
    asked, read = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked_fd, read_fd = asked.detach(), read.detach()
    for part in parts:
        if part.name == "api":
            part.environment[FORK_SERVER] = f"workers.fork_server {read_fd}"
            part.descriptors = (read_fd,)
        elif part.name.startswith("worker-"):
            part.environment[TRAINERS_FD] = str(asked_fd)
            part.descriptors = (asked_fd,)


def import_registry(quick_exits: int = 0) -> None:
    """Imports what all parts need of the API; the tables are made beside the rest."""
    os.environ.update(ONE_NUMPY_THREAD | os.environ)  # a second thread, and we could not fork
    gc.disable()  # meanwhile: nothing is garbage yet, and looking for it took a quarter of the start
    for module in ("app.registry.migrations", "app.registry.tables"):
        importlib.import_module(module)


def import_shared(quick_exits: int = 0) -> None:
    """Imports what most parts need, so that they share it: one import, one copy in memory. Starts no thread."""
    import_registry()
    for module in ("app.main", "app.lanes.parent", "workers.release_keeper", "workers.sweep"):
        importlib.import_module(module)
    gc.disable()  # which the API's module ends
    gc.freeze()


class Supervisor:
    """Keeps the parts running until it is asked to stop."""

    def __init__(
        self,
        parts: list[ServicePart],
        environment: dict[str, str],
        each_round: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.parts = parts
        self._clock = clock
        self._round_at = clock()
        self.environment = environment
        self.each_round = each_round
        self.stopping = False

    def start(self, part: ServicePart) -> None:
        given, inherited = part.life.begin() if part.life is not None else ({}, ())
        environment = self.environment | part.environment | given
        inherited = (*inherited, *part.descriptors)
        if part.forks:
            part.forks = False
            part.process = ForkedPart(part.argv, environment, inherited)
        else:
            part.process = subprocess.Popen(
                part.argv,
                env=environment,
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops the parts in order
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - this process has one thread
            )
        part.started_at = part.alive_at = self._clock()
        part.has_shown_life = False
        log.info("started", part=part.name, pid=part.process.pid)

    def run(self) -> None:
        """Blocks until `stopping` is set, then stops everything."""
        try:
            for part in self.parts:
                part.start_at = self._clock() + part.delay_s
            while not self.stopping:
                self.round()
                self.each_round()
                time.sleep(_POLL_S)
        finally:
            self.stop()

    def round(self) -> None:
        """Looks after each part once."""
        now = self._clock()
        if now - self._round_at > _PAUSE_S:  # nobody could show life, or we could not see it
            for part in self.parts:
                part.alive_at += now - self._round_at
        self._round_at = now
        for part in self.parts:
            self._look_after(part)

    def _end_if_it_hangs(self, part: ServicePart) -> None:
        assert part.process is not None
        if part.life is None:
            return
        now = self._clock()
        if part.life.seen():
            part.alive_at, part.has_shown_life = now, True
        silent = now - part.alive_at
        if silent > (part.hang_s if part.has_shown_life else max(part.hang_s, _START_S)):
            log.error("hangs, is killed", part=part.name, silent_s=round(silent, 1))
            end_group(part.process, signal.SIGKILL)
            part.process.wait()

    def _look_after(self, part: ServicePart) -> None:
        now = self._clock()
        if part.process is not None:
            if part.process.poll() is None:
                self._end_if_it_hangs(part)
            status = part.process.poll()
            if status is None:
                return
            end_group(part.process, signal.SIGKILL)  # what it may have left behind
            part.process = None
            if part.once:
                part.start_at = float("inf")
                return
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


def end_group(process: subprocess.Popen[bytes] | ForkedPart, number: signal.Signals) -> None:
    """Signals everything in the process group that `process` led."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def lock_data_dir(data_dir: Path) -> IO[str]:
    """Makes the data directory and takes its lock; keep the result open. Raises SystemExit if it is in use."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
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

    only_for_us()
    lock = lock_data_dir(settings.data_dir)
    for found in protect(settings.private_directories, settings.private_files):
        log.warning("files were not for this user alone", found=found)
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
    except (broker.BrokerMissing, RayMissing, UnsafePath) as error:
        raise SystemExit(str(error)) from None
    if POSSIBLE and settings.predictor != "none":
        share_fork_server(parts)
    supervisor = Supervisor(parts, environment, Announcement(address, settings))

    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with lock:
        supervisor.run()
