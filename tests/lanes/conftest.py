"""A host with two lanes, each a real process, and a model in its registry."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import grpc
import httpx
import psutil
import pytest

from app.config import Settings
from app.protocols import tfs_schema
from app.registry.db import Database, make_engine, migrate
from app.registry.tokens import TokenRepository
from app.serving import forkserver
from app.storage import Storage
from tests.ports import free_port
from tests.published_models import publish
from tests.serving.conftest import exports
from tests.tied import tied
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not forkserver.POSSIBLE and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="lanes are forked on Linux only"))


class Answer(NamedTuple):
    status: int
    body: bytes
    version: str
    at: float


class Host:
    """`python -m app.lanes`, with a gRPC port, and ways to ask it. Version 1 of the model `m` gives x / 2 + 2."""

    def __init__(self, data_dir: Path, exports: Path, **environment: str) -> None:
        self.port, self.grpc_port = free_port(), free_port()
        own = {
            "GRPC_PORT": str(self.grpc_port),
            "DATABASE_URL": "",
            "REDIS_URL": "redis://127.0.0.1:1",
            "ARTIFACTS_URL": "",
            "SERVING_LANES": "2",
            "HANG_S": "10",
            "PREDICT_TIMEOUT_S": "60",
            "RATE_PER_S": "1",
            "RATE_BURST": "40",
        }
        self.settings = Settings(data_dir=data_dir, database_url="", redis_url="redis://127.0.0.1:1", artifacts_url="")
        self.database = Database(make_engine(self.settings))
        migrate(self.database.engine)
        self.storage = Storage(self.settings.artifacts)
        self.exports = exports
        self.publish("plus2")
        with self.database.session() as session:
            _, self.secret = TokenRepository(session).create("test", ["admin"])
        self.log = data_dir / "lanes.log"
        self.settings_file = data_dir / "settings"
        self.settings_file.touch()
        self._environment = {**os.environ, **own, "DATA_DIR": str(data_dir), "PORT": str(self.port), **environment}
        self._environment["SETTINGS_FILE"] = str(self.settings_file)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                tied([sys.executable, "-m", "app.lanes"]), cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        self.parent = psutil.Process(self.process.pid)
        try:
            wait_for(self._works)
            wait_for(self.settled)
        except BaseException:
            self.stop()
            raise

    def publish(self, export: str) -> int:
        return publish(self.database, self.storage, "m", self.exports / export)

    def publish_everywhere(self, export: str) -> int:
        """The same; returns once both lanes answer by it."""
        number = self.publish(export)
        connections = [self.connect() for _ in range(8)]
        wait_for(lambda: all(self.predict(connection).version == str(number) for connection in connections))
        for connection in connections:
            connection.close()
        return number

    def predict(self, connection: http.client.HTTPConnection, model: str = "m", **headers: str) -> Answer:
        sent = {"authorization": f"Bearer {self.secret}", "content-type": "application/json", **headers}
        connection.request("POST", f"/v1/models/{model}:predict", '{"instances": [1.0]}', sent)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), answer.headers.get("x-model-version", ""), time.monotonic())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def channel(self) -> grpc.Channel:
        """A connection of its own to the gRPC port."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100)]
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options)

    def predict_by_grpc(self, channel: grpc.Channel, values: list[float], model: str = "m") -> grpc.Future:
        """A call of TensorFlow Serving's `Predict` that is under way."""
        request = tfs_schema.PUBLIC.message("tensorflow.serving.PredictRequest")()
        request.model_spec.name = model
        request.inputs["x"].dtype = 1
        request.inputs["x"].float_val.extend(values)
        request.inputs["x"].tensor_shape.dim.add(size=len(values))
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        token = [("authorization", f"Bearer {self.secret}")]
        return call.future(request.SerializeToString(), metadata=token, timeout=60)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secret}", **more.pop("headers", {})}
        return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, trust_env=False, **more)

    def metrics(self) -> str:
        """As a caller that was not here before, for whoever looks often."""
        with self.database.session() as session:
            _, secret = TokenRepository(session).create("looks", ["read"])
        return self.ask("GET", "/metrics", headers={"authorization": f"Bearer {secret}"}).text

    def lanes(self) -> list[psutil.Process]:
        return [*self.named("lane-0"), *self.named("lane-1")]

    def predictors(self) -> list[psutil.Process]:
        """With the spare."""
        return self.named("predictor")

    def nurseries(self) -> list[psutil.Process]:
        return [*self.named("lane-nursery"), *self.named("fork-server")]

    def says(self, event: str) -> bool:
        return f'"{event}' in self.log.read_text()

    def named(self, name: str) -> list[psutil.Process]:
        found = []
        for child in self.parent.children():
            try:
                if child.name() == name and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
            except psutil.NoSuchProcess:
                pass
        return found

    def serving(self) -> int:
        """Number of lanes that began to serve, in all."""
        return self.log.read_text().count('"lane serves"')

    def settled(self) -> bool:
        """Whether both lanes serve, each its own listeners, and there is a spare predictor."""
        serving = {
            entry["pid"]
            for line in self.log.read_text().splitlines()
            if '"lane serves"' in line
            for entry in [json.loads(line)]
        }
        lanes = {lane.pid for lane in self.lanes()}
        return len(lanes) == 2 and lanes <= serving and len(self.predictors()) == 3

    def _works(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        connection = self.connect()
        try:
            return self.predict(connection).status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        self.database.close()
        family = self.parent.children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            _, self.left = psutil.wait_procs(family, timeout=60)
            for process in self.left:
                process.kill()


class SteadyClient:
    """Asks every few milliseconds over one connection, and once more when that breaks.

    Attributes:
        broken: requests whose connection broke; failed: those that were not answered 200 the second time either.
    """

    def __init__(self, host: Host, model: str = "m", *, anew: bool = False) -> None:
        self.answers: list[Answer] = []
        self.broken = self.failed = 0
        self.errors: list[str] = []
        self._host = host
        self._model = model
        self._anew = anew
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady")

    def __enter__(self) -> SteadyClient:
        self._thread.start()
        wait_for(lambda: len(self.answers) > 10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        connection = self._host.connect()
        while not self._stop.wait(0.002):
            answer = None
            for _ in range(2):
                try:
                    answer = self._host.predict(connection, self._model)
                except (OSError, http.client.HTTPException):
                    self.broken += 1
                    connection.close()
                    connection = self._host.connect()
                    continue
                if answer.status == 200:
                    break
            if answer is None or answer.status != 200:
                self.failed += 1
                continue
            self.answers.append(answer)
            if self._anew:
                connection.close()
        connection.close()


class SteadyCaller(SteadyClient):
    """The same by gRPC. What its client does not send again by itself is tried once more, over another connection: a
    channel gives out one whose peer has reset it until its last write has failed too."""

    def _run(self) -> None:
        channel = self._host.channel()
        while not self._stop.wait(0.002):
            for _ in range(2):
                try:
                    body = self._host.predict_by_grpc(channel, [1.0]).result()
                except grpc.RpcError as error:
                    self.broken += 1
                    self.errors.append(f"{error.code()}: {error.details()}")  # type: ignore[attr-defined]
                    channel.close()
                    channel = self._host.channel()
                    continue
                self.answers.append(Answer(200, body, "", time.monotonic()))
                break
            else:
                self.failed += 1
        channel.close()


@pytest.fixture(scope="session")
def running_host(tmp_path_factory: pytest.TempPathFactory, exports: Path) -> Iterator[Host]:
    running = Host(tmp_path_factory.mktemp("host"), exports)
    yield running
    running.stop()
    assert running.left == []


@pytest.fixture
def host(running_host: Host) -> Host:
    """The same for all tests; what the test before did to it is over."""
    wait_for(running_host.settled)
    return running_host


__all__ = ["exports", "host", "running_host"]
