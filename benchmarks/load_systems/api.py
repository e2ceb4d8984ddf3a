"""The API with one lane and a data directory of its own: no workers, no predictor, so that only submits count."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

ROOT = Path(__file__).resolve().parents[2]
POSTGRESQL = os.environ.get("BENCH_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
CSV = b"a,b,kind\n" + b"".join(b"%d,%d.5,%s\n" % (row, row % 7, b"yes" if row % 2 else b"no") for row in range(200))


@contextlib.contextmanager
def database(kind: str) -> Iterator[str]:
    """DATABASE_URL of an empty registry: "" for SQLite in the data directory, or a new PostgreSQL database."""
    if kind == "sqlite":
        yield ""
        return
    name = f"estimator_bench_{secrets.token_hex(6)}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRESQL.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class Api:
    """`python -m app.lanes` and a way to ask it."""

    def __init__(self, data_dir: Path, database_url: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.data_dir = data_dir
        settings = {"DATA_DIR": str(data_dir), "PORT": str(self.port), "DATABASE_URL": database_url, "REDIS_URL": ""}
        settings |= {"SERVING_LANES": "1", "EVENT_STREAMS_PER_TOKEN": "0"}
        data_dir.mkdir(parents=True, exist_ok=True)
        with (data_dir / "api.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.lanes"],
                cwd=ROOT,
                env={**os.environ, **settings, "PREDICTOR": "none", "LOG_LEVEL": "WARNING"},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 60
        while not self._is_ready():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError((data_dir / "api.log").read_text()[-2000:])
            time.sleep(0.1)
        self.token = (data_dir / "admin-token").read_text().strip()

    def _is_ready(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}

    def dataset(self) -> str:
        """Uploads a small table; its id."""
        edge = secrets.token_hex(8)
        form = (
            f'--{edge}\r\nContent-Disposition: form-data; name="name"\r\n\r\nt\r\n--{edge}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="t.csv"\r\nContent-Type: text/csv\r\n\r\n'
        ).encode()
        body = form + CSV + f"\r\n--{edge}--\r\n".encode()
        connection = self.connect()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        connection.request("POST", "/v1/datasets", body, self.headers | kind)
        return str(json.loads(connection.getresponse().read())["id"])

    def cpu_seconds(self) -> float:
        """Of the serving parent and all below it."""
        parent = psutil.Process(self._process.pid)
        times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def train_body(dataset: str) -> dict[str, Any]:
    return {
        "type": "train",
        "model": "burst",
        "estimator": {"type": "LinearClassifier", "args": {}},
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "kind", "batch_size": 8}},
        "train": {"max_steps": 10},
        "export": "none",
    }
