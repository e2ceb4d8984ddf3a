"""Exports made once, and a real server: uvicorn with the predict app, a predictor process behind it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from app.digest import directory_digest
from app.http.predict_app import PredictApp
from app.http.problems import plain_problem, problem
from app.serving.large_body import LargeBodyReader
from app.serving.model_limits import BatchLimits
from app.serving.own_predictors import OwnPredictors
from app.serving.service import ServingService
from app.serving.wanted_version import WantedVersion
from tests.fork_server import Lender

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def exports() -> Path:
    """A directory of SavedModels made by `made_exports.py`; kept between runs, for TensorFlow is slow to start."""
    source = (Path(__file__).parent / "made_exports.py").read_bytes()
    place = Path(tempfile.gettempdir()) / f"serving-exports-{os.getuid()}-{hashlib.sha256(source).hexdigest()[:12]}"
    if not (place / "made").exists():
        with tempfile.TemporaryDirectory(dir=place.parent) as made:
            command = [sys.executable, "-m", "tests.serving.made_exports", made]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            (Path(made) / "made").touch()
            try:
                Path(made).rename(place)
            except OSError:  # another session was faster
                pass
            Path(made).mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def wanted(exports: Path) -> Callable[..., WantedVersion]:
    """wanted(model, number, export, **more) → WantedVersion"""

    def make(model: str, number: int, export: str, **more: Any) -> WantedVersion:
        path = exports / export
        lineage = f"ver_{model}{number}"
        return WantedVersion(
            model, number, str(path), directory_digest(path), lineage, **{"labels": ("latest",), **more}
        )

    return make


class Server:
    """A serving process in this one: event loop and uvicorn in a thread, tests call it over HTTP."""

    def __init__(self, **options: Any) -> None:
        self.outcomes: list[tuple[str, int, str | None]] = []
        self._options = options
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server")
        self._thread.start()
        assert self._started.wait(60)
        deadline = time.monotonic() + 240  # on a busy machine TensorFlow's import takes longer than a request may
        while not self.service.predictor_pid:
            assert time.monotonic() < deadline, "no predictor came"
            time.sleep(0.02)
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.service = ServingService(
            on_loaded=lambda model, number: self.outcomes.append((model, number, None)),
            on_failed=lambda model, number, reason: self.outcomes.append((model, number, reason)),
            **self._options,
        )
        await self.service.start()
        large_bodies = LargeBodyReader()
        app = PredictApp(_not_found, self.service, problem, large_bodies=large_bodies)
        self._uvicorn = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
        self._uvicorn.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serving = asyncio.create_task(self._uvicorn._serve())
        while not self._uvicorn.started:  # noqa: ASYNC110  uvicorn tells it no other way
            await asyncio.sleep(0.01)
        port = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._started.set()
        await serving
        await large_bodies.stop()
        await self.service.stop()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def sync(self, *versions: WantedVersion) -> None:
        async def sync() -> None:
            self.service.sync(versions)

        self.call(sync())

    def post(self, path: str, body: Any) -> httpx.Response:
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.client.post(f"/v1/models/{path}", **given)

    def stop(self) -> None:
        self.client.close()
        self._uvicorn.should_exit = True
        self._thread.join(60)


async def _not_found(scope: Any, receive: Any, send: Any) -> None:
    """Stands where FastAPI stands: everything that is no prediction."""
    status, headers, body = plain_problem(404, scope["path"])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="session")
def server(wanted: Callable[..., WantedVersion], fork_server: Lender) -> Iterator[Server]:
    """With the models half (versions 1 and 2, 2 unlabelled), mixed and picky; nothing in it is ever changed."""
    with fork_server.lent():
        server = Server(limits=BatchLimits(timeout_s=50), predictors=OwnPredictors(spare=False))
    server.sync(
        wanted("half", 1, "plus2"),
        wanted("half", 2, "plus3", labels=("canary",)),
        wanted("mixed", 1, "mixed"),
        wanted("picky", 1, "picky"),
    )
    yield server
    server.stop()
