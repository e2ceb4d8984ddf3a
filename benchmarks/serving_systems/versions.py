"""A running service whose model changes, and a load that checks every answer against the version in its header."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil
from servers import HERE, PATH, ROOT, Server

sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Checked:
    """What the load saw; `broken`: requests whose connection ended without an answer; `hung`: none within 30 s."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    wrong: int
    refused_503: int
    failed_otherwise: int
    broken: int
    hung: int


class VersionLoad:
    """wrk with 32 connections, until it is stopped."""

    def __init__(self, server: Server, core: int, connections: int = 32) -> None:
        wrk = ["wrk", "-t1", f"-c{connections}", "-d24h", "--timeout", "30s", "-s", str(HERE / "versions.lua")]
        self._process = subprocess.Popen(
            [*wrk, f"http://127.0.0.1:{server.port}{PATH}", "--", server.token],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509
        )

    def stop(self) -> Checked:
        self._process.send_signal(signal.SIGINT)
        output, _ = self._process.communicate(timeout=60)
        requests, took, p50, p99, *failures = map(int, output.split("RESULT ")[1].split())
        return Checked(requests, took / 1e6, p50 / 1e3, p99 / 1e3, *failures)


class ChangingServer(Server):
    """The whole service with the model `m`, whose version n is the export `plus` with (n - 1) % 4 + 1."""

    def __init__(self, exports: Path, cores: set[int], *, lanes: int = 1) -> None:
        super().__init__("ours", "plus1", exports, cores, cases=False, lanes=lanes)
        [data] = exports.glob("data-*")
        from app.config import Settings
        from app.registry.db import Database, make_engine
        from app.storage import Storage

        self.settings = Settings(data_dir=data, database_url="", redis_url="redis://127.0.0.1:1", artifacts_url="")
        self.database = Database(make_engine(self.settings))
        self.storage = Storage(self.settings.artifacts)

    def publish(self, number: int, *, broken: bool) -> None:
        """Records the next version; a broken one has other files than its digest says."""
        from publication import publish

        export = self.exports / f"plus{(number - 1) % 4 + 1}"
        digest = "sha256:" + "0" * 64 if broken else None
        made = publish(self.database, self.storage, export, digest=digest, copy=os.link)
        assert made == number

    def hold_in(self, lanes: int) -> None:
        """So many lanes are to have the model in memory; 0: all."""
        from app.registry.serving_settings import ServingSettingsRepository

        if lanes:
            with self.database.session() as session:
                ServingSettingsRepository(session).put("m", {"lanes": lanes})

    def named(self, *names: str) -> list[psutil.Process]:
        """Processes of those names (`lane-0`, `predictor`, `lane-nursery`, `fork-server`), the oldest first."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            try:
                if child.name() in names:
                    found.append(child)
            except psutil.NoSuchProcess:
                pass
        return sorted(found, key=lambda child: child.create_time())

    def rolling_restart(self) -> None:
        """Begins one; it is done when `lanes` have other process numbers."""
        self.process.send_signal(signal.SIGHUP)


def make_exports(directory: Path) -> None:
    script = str(HERE / "make_exports.py")
    subprocess.run([sys.executable, script, str(directory)], check=True, capture_output=True)


def workplace() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="serving-benchmark-")


def step_aside(generator: int) -> None:
    """From now on this process, which plays the rest of the system, takes no time from the server's core and little
    from the load generator's. After those are started: they would inherit it."""
    os.sched_setaffinity(0, {generator})
    os.nice(10)


def cores() -> tuple[int, set[int]]:
    """The load generator's core, and the server's."""
    generator, *others = sorted(os.sched_getaffinity(0))
    return generator, {others[-1]} if others else {generator}
