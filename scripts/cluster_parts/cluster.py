"""The five hosts: what runs on each, with which settings, and how one is killed, cut off and started."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg

from scripts.cluster_parts import network
from scripts.cluster_parts.needs import ROOT, find_postgresql
from scripts.demo import Api
from workers.service.broker import find_server

T = TypeVar("T")

STORE, APIS, WORKERS = "store", ("api-1", "api-2"), ("worker-1", "worker-2")
ADDRESSES = {name: f"10.90.0.{10 + number}" for number, name in enumerate([STORE, *APIS, *WORKERS])}
URL = "s3://artifacts/estimator"
_NOBODY = 65534
_SETTINGS = {
    "LEASE_S": "6",
    "HEARTBEAT_S": "0.5",
    "RESEND_AFTER_S": "3",
    "RECONCILE_S": "0.5",
    "RETRY_BACKOFF_S": "0.2",
    "ORPHAN_GRACE_S": "30",
    "GRACE_S": "20",
    "SERVING_LANES": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


class Late(AssertionError):
    """Something did not happen in its time."""


def wait_for(probe: Callable[[], T], what: str, seconds: float = 120.0) -> T:
    """The first true value of `probe`. Raises Late."""
    end = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() > end:
            raise Late(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.1)
    return value


class Host:
    """One host. Its files are at `files` for us; it sees them at `place`, and nothing else that can be written.

    Args:
        programs: name → command and environment.
    """

    def __init__(self, name: str, place: Path, programs: dict[str, Any]) -> None:
        self.name, self.address, self.files = name, ADDRESSES[name], place / name
        self.files.mkdir(exist_ok=True)
        self._said = place / f"{name}.json"
        self._said.write_text(
            json.dumps({"name": name, "place": str(place), "own": str(self.files), "programs": programs})
        )
        network.connect(name, self.address)
        self._outer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Boots it; what was on its disk before is still there."""
        unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
        init = [sys.executable, "-m", "scripts.cluster_parts.host", str(self._said)]
        with (self.files / "host.log").open("ab") as log:
            command = ["ip", "netns", "exec", self.name, *unshare, *init]
            self._outer = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def first_process(self) -> psutil.Process:
        """Process 1 of the host, as we see it."""
        assert self._outer is not None
        return wait_for(lambda: next(iter(psutil.Process(self._outer.pid).children()), None), f"{self.name}")

    @property
    def mountinfo(self) -> str:
        return Path(f"/proc/{self.first_process.pid}/mountinfo").read_text()

    def processes(self) -> list[psutil.Process]:
        return self.first_process.children(recursive=True)

    def kill(self) -> int:
        """Every process at once, as a power failure does; how many there were. The kernel ends a PID namespace with
        its first process."""
        assert self._outer is not None
        first, living = self.first_process, self.processes()
        first.kill()
        self._outer.wait(60)
        psutil.wait_procs(living, timeout=60)
        return len(living)

    def last_words(self, lines: int = 15) -> str:
        """The end of each of its logs."""
        told = [self.files / "host.log", *sorted((self.files / "log").glob("*"))]
        ends = {file.name: file.read_text(errors="replace").splitlines()[-lines:] for file in told if file.is_file()}
        return "\n".join(f"{self.name} {name}: {line}" for name, found in ends.items() for line in found)


class Cluster:
    """All five, below one directory, with passwords of this run."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.passwords = {name: secrets.token_hex(16) for name in ("postgres", "redis", "s3")}
        self._at = ADDRESSES[STORE]
        network.make_bridge()
        self.hosts = {STORE: Host(STORE, place, self._store_programs())}
        for name in APIS:
            lanes, reconciler = [sys.executable, "-m", "app.lanes"], [sys.executable, "-m", "workers.reconciler"]
            self.hosts[name] = Host(name, place, self._programs(name, {"api": lanes, "reconciler": reconciler}))
        for name in WORKERS:
            celery = [sys.executable, "-m", "celery", "-A", "workers.celery_app", "worker", "--pool=prefork"]
            celery += ["--concurrency=1", "--without-gossip", "--without-mingle", "--without-heartbeat"]
            self.hosts[name] = Host(name, place, self._programs(name, {"worker": celery}))
        os.environ |= self.store_settings

    @property
    def database_url(self) -> str:
        return f"postgresql://estimator:{self.passwords['postgres']}@{self._at}:5432/postgres"

    @property
    def store_settings(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://{self._at}:8333",
            "AWS_ACCESS_KEY_ID": "estimator",
            "AWS_SECRET_ACCESS_KEY": self.passwords["s3"],
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Boots the store's host, then the others; returns when both APIs are ready and both workers known."""
        self.hosts[STORE].start()
        wait_for(self._database_answers, "PostgreSQL")
        for name in (*APIS, *WORKERS):
            self.hosts[name].start()
        self.apis = [self._api(name) for name in APIS]
        wait_for(lambda: self.living_workers() == set(WORKERS), "both workers")

    def living_workers(self) -> set[str]:
        """Names of the hosts with a worker that has reported lately."""
        return {worker["name"].partition(":")[0] for worker in self._workers() if worker["alive"]}

    def wait_for_worker(self, host: str) -> None:
        """Until a worker of the host reports, from now on."""

        def seen() -> str:
            return max((one["seen_at"] for one in self._workers() if one["name"].startswith(f"{host}:")), default="")

        before = seen()
        wait_for(lambda: seen() > before, f"a sign of life of the worker on {host}")

    def _workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.apis[0].call("GET", "/v1/workers")["workers"]
        return found

    @contextmanager
    def sql(self) -> Iterator[Any]:
        """A connection that commits each statement."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            yield connection

    def last_words(self) -> str:
        return "\n".join(host.last_words() for host in self.hosts.values())

    def _api(self, name: str) -> Api:
        host = self.hosts[name]
        token = host.files / "data" / "admin-token"
        wait_for(token.exists, f"the admin's token of {name}")
        api = Api(f"http://{host.address}:8000", token.read_text().strip())
        api.call("GET", "/readyz", patience_s=120)
        return api

    def _database_answers(self) -> bool:
        try:
            with self.sql() as connection:
                return bool(connection.execute("SELECT 1").fetchone())
        except psycopg.OperationalError:
            return False

    def _environment(self) -> dict[str, str]:
        known = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        return known | {"HOME": str(self.place), "TMPDIR": str(self.place / "tmp")}

    def _programs(self, name: str, commands: dict[str, list[str]]) -> dict[str, Any]:
        environment = self._environment() | _SETTINGS | self.store_settings
        environment |= {
            "DATA_DIR": str(self.place / "data"),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": f"redis://:{self.passwords['redis']}@{self._at}:6379/0",
            "ARTIFACTS_URL": URL,
            "HOST": ADDRESSES[name],
            "PORT": "8000",
        }
        return {
            program: {"command": command, "environment": environment, "directory": str(ROOT)}
            for program, command in commands.items()
        }

    def _store_programs(self) -> dict[str, Any]:
        """PostgreSQL does not run as root: it is nobody's. SeaweedFS makes the bucket with the first write."""
        binaries, place, own = find_postgresql(), self.place, self.place / STORE
        key = {"accessKey": "estimator", "secretKey": self.passwords["s3"]}
        identity = {"name": "estimator", "credentials": [key], "actions": ["Admin", "Read", "Write", "List"]}
        files = {
            "postgres/password": self.passwords["postgres"],
            "redis.conf": f"requirepass {self.passwords['redis']}\nbind {self._at}\nsave ''\ndir {place}\n",
            "s3.json": json.dumps({"identities": [identity]}),
        }
        for name in ("postgres", "weed"):
            (own / name).mkdir(parents=True)
        for name, content in files.items():
            (own / name).write_text(content)
        os.chown(own / "postgres", _NOBODY, _NOBODY)
        data = place / "postgres" / "data"
        made = f"{binaries}/initdb -U estimator -A scram-sha-256 --pwfile={data.parent}/password -E UTF8 {data}"
        allow = f"echo 'host all all 10.90.0.0/24 scram-sha-256' >> {data}/pg_hba.conf"
        options = f"-c listen_addresses={self._at} -c unix_socket_directories= -c fsync=off"
        serve = f"exec {binaries}/postgres -D {data} {options}"
        nobody = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        weed = [
            "weed",
            "server",
            f"-dir={place}/weed",
            f"-ip={self._at}",
            "-filer",
            "-s3",
            f"-s3.config={place}/s3.json",
        ]
        weed += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=50", "-master.volumeSizeLimitMB=64"]
        commands = {
            "postgres": [*nobody, "sh", "-c", f"[ -e {data}/pg_hba.conf ] || {{ {made} && {allow}; }} && {serve}"],
            "redis": [find_server(), f"{place}/redis.conf"],
            "weed": weed,
        }
        environment = self._environment()
        return {
            name: {"command": command, "environment": environment, "directory": str(place)}
            for name, command in commands.items()
        }
