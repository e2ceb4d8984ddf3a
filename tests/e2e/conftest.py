"""A whole running service as users start it, on the embedded parts and on PostgreSQL and Redis where they answer."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.browser import Browser
from tests.pages import blocks
from tests.tied import tied
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
POSTGRESQL = os.environ.get("TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")
REDIS_DATABASE = 13
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}


class RunningService:
    """The service's processes and a client for it."""

    def __init__(self, data_dir: Path, environment: dict[str, str], *, umask: int = -1) -> None:
        self.data_dir = data_dir
        self.log = data_dir / "service.log"
        data_dir.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", "workers.service", "--port", "0", "--data-dir", str(data_dir)]),
                cwd=ROOT,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "LEASE_S": "8", "RESEND_AFTER_S": "3", **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=umask,
            )
        self.address = wait_for(self._address, "the service to start", 120)
        token = (data_dir / "admin-token").read_text().strip()
        self.http = httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
        )

    def _address(self) -> str | None:
        assert self.process.poll() is None, self.log.read_text()
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line.split()[-1] for line in lines if line.startswith("Estimator Service runs on")), None)

    def stop(self) -> None:
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def processes(self, part: str) -> list[psutil.Process]:
        """The service's processes whose command line names `part`."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if part in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                pass
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def upload(self, name: str, content: bytes, file: str = "data.csv") -> httpx.Response:
        return self.http.post("/v1/datasets", files={"file": (file, content)}, data={"name": name})

    def dataset(self, name: str, content: bytes) -> str:
        answer = self.upload(name, content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def submit(self, body: dict[str, Any]) -> str:
        answer = self.http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self.get(f"/v1/jobs/{job_id}")

    def finished(self, job_id: str, seconds: float = 240.0) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in ENDED else None

        return wait_for(ended, f"the end of {job_id}", seconds)

    def succeeded(self, job_id: str, seconds: float = 240.0) -> dict[str, Any]:
        job = self.finished(job_id, seconds)
        assert job["state"] == "SUCCEEDED", (job, self.log.read_text()[-3000:])
        return job


@contextmanager
def fresh_postgresql() -> Iterator[str]:
    """The URL of an empty database of our own on the PostgreSQL that answers."""
    import psycopg

    name = f"estimator_test_{secrets.token_hex(6)}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield POSTGRESQL.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def real_servers_answer() -> bool:
    import psycopg
    import redis

    try:
        psycopg.connect(POSTGRESQL, connect_timeout=2).close()
        with redis.Redis.from_url(REDIS, socket_timeout=2) as client:
            return bool(client.ping())
    except (psycopg.OperationalError, redis.RedisError):
        return False


BACKENDS = ["embedded", *(["postgresql+redis"] if real_servers_answer() else [])]


OWN_MODEL = ROOT / "docs" / "how-to" / "own-model-fn.md"
#: the named blocks of the page about `model_fn`s: files, and the job
OWN_MODEL_BLOCKS = {block.info.partition(" ")[2]: block.text for block in blocks(OWN_MODEL)}


def installed_model_fn(folder: Path) -> dict[str, str]:
    """The environment in which an operator has installed the `model_fn` `line`, as docs/how-to/own-model-fn.md says."""
    (folder / "own-models").mkdir(parents=True)
    for name in ("own_models.py", "pyproject.toml"):
        (folder / "own-models" / name).write_text(OWN_MODEL_BLOCKS[name])
    command = "python -m pip install --no-deps --target=installed ./own-models"
    assert f"    {command}\n" in OWN_MODEL.read_text()
    # what a package is built with is in the lock file; pip would fetch it
    offline = [sys.executable, *command.split()[1:], "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(offline, cwd=folder, capture_output=True, check=True, timeout=500)
    return {"PYTHONPATH": str(folder / "installed")}


@contextmanager
def running_service(backend: str, directory: Path) -> Iterator[RunningService]:
    """A service that is quick to try again, whose operator installed a `model_fn`."""
    environment = {"HEARTBEAT_S": "0.2", "RETRY_BACKOFF_S": "0.1", "RESEND_AFTER_S": "1", "RECONCILE_S": "0.3"}
    environment |= {"DATABASE_URL": "", "REDIS_URL": ""} | installed_model_fn(directory / "installed")
    with ExitStack() as stack:
        if backend != "embedded":
            database = stack.enter_context(fresh_postgresql())
            environment |= {"DATABASE_URL": database, "REDIS_URL": f"{REDIS}/{REDIS_DATABASE}"}
        running = RunningService(directory / "data", environment)
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RunningService]]:
    """The running service on a backend, started for the first test that asks: its start takes longer than most tests.

    Tests share it, so each has models and data sets of its own name, and none counts on an empty registry.
    """
    running: dict[str, RunningService] = {}
    with ExitStack() as stack:

        def on(backend: str) -> RunningService:
            if backend not in running:
                directory = tmp_path_factory.mktemp("service")
                running[backend] = stack.enter_context(running_service(backend, directory))
            return running[backend]

        yield on


@pytest.fixture(params=BACKENDS)
def service(request: pytest.FixtureRequest, services: Callable[[str], RunningService]) -> RunningService:
    return services(request.param)


@pytest.fixture(scope="package")
def embedded(services: Callable[[str], RunningService]) -> RunningService:
    return services("embedded")


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One window for all tests; each begins at the sign-in."""
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started
