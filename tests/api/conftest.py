"""The API under a real server in a thread, without predictors and without a broker, on a migrated registry."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.deps import AppState
from app.config import Settings
from app.http.admission import AdmissionMiddleware
from app.http.connection import FastPathLike
from app.http.connections import ConnectionLimits, ConnectionTable
from app.http.server import Server
from app.log import configure
from app.main import create_app
from app.queue import MemoryQueue
from tests.waiting import wait_for

CSV = b"size,colour,kind\n" + b"".join(
    f"{index % 7},{['red', 'green', 'blue'][index % 3]},{'big' if index % 7 > 3 else 'small'}\n".encode()
    for index in range(60)
)


@dataclass
class Api:
    """A running API and what a test needs of it."""

    admission: AdmissionMiddleware
    service: AppState
    queue: MemoryQueue
    http: httpx.Client

    def token(self, *scopes: str) -> dict[str, str]:
        """The header of a new token."""
        made = self.http.post("/v1/tokens", json={"name": "test", "scopes": list(scopes)})
        assert made.status_code == 201, made.text
        return {"Authorization": f"Bearer {made.json()['token']}"}

    def upload(self, content: bytes = CSV, filename: str = "things.csv", **options: Any) -> Any:
        return self.http.post("/v1/datasets", files={"file": (filename, content)}, data={"name": "things"}, **options)

    def dataset(self) -> str:
        answer = self.upload()
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def submit(self, **changes: Any) -> str:
        answer = self.http.post("/v1/jobs", json=train_job(self.dataset(), **changes))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


def train_job(dataset: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "train",
        "model": "things",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [4]}},
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "kind"}, "holdout": 0.2},
        "train": {"max_steps": 10},
        **changes,
    }


def wait_ready(http: httpx.Client) -> None:
    wait_for(lambda: http.get("/readyz").status_code == 200, "the API to be ready")


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """Logs as in production (JSON, no values of variables), warnings and worse."""
    configure("WARNING")


def sqlite_settings(data_dir: Path, migrated: Path) -> Settings:
    data_dir.mkdir(parents=True)
    shutil.copy(migrated, data_dir / "registry.db")
    return Settings(data_dir=data_dir, database_url="", redis_url="", artifacts_url="", predictor="none")


@pytest.fixture
def api(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Api]:
    yield from run_api(sqlite_settings(tmp_path / "data", migrated_sqlite))


@pytest.fixture(scope="module")
def shared_api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Api]:
    """One for all tests of a file that do not mind what others left."""
    yield from run_api(sqlite_settings(tmp_path_factory.mktemp("shared") / "data", migrated_sqlite))


def run_api(settings: Settings) -> Iterator[Api]:
    queue = MemoryQueue()
    app = create_app(settings, queue=queue)
    with (
        served(app.asgi, fast_path=app.fast_path) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as http,
    ):
        wait_ready(http)
        secret = (settings.data_dir / "admin-token").read_text()
        http.headers["Authorization"] = f"Bearer {secret}"
        yield Api(app.asgi, app.state, queue, http)


@contextmanager
def served(app: Any, *, fast_path: FastPathLike | None = None, limits: ConnectionLimits | None = None) -> Iterator[str]:
    """Runs an ASGI application on a free port; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(app, fast_path=fast_path, table=None if limits is None else ConnectionTable(limits))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
