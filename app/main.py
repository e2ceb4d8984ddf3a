"""The API process: where the parts meet.

python -m app.main                              with the settings of the environment
uvicorn --factory app.main:create               the same under a server of your own
"""

# ruff: noqa: E402
from __future__ import annotations

import gc

gc.disable()  # while it is imported: nothing is garbage yet, and looking for it took a quarter of the start

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from app.api.application import create_api
from app.api.deps import Service
from app.api.event_feed import EventFeed
from app.api.health import current
from app.api.job_metrics import JobCollector
from app.api.pages import pages
from app.config import Settings
from app.datasets.ingestor import INGESTOR
from app.dispatch import Dispatch
from app.errors import ServiceError, Unavailable
from app.http.auth import Authenticator, TokenInfo
from app.http.connections import ConnectionLimits
from app.http.fast_predict import FastPath
from app.http.gate import Gate, token_limits
from app.http.predict import PredictApp
from app.http.problems import problem
from app.http.public import PublicApp
from app.http.rate_limit import Accounts
from app.http.request_metrics import Traffic
from app.http.server import serve
from app.log import configure
from app.model_sync import ModelSync
from app.private_files import only_for_us, protect
from app.promotion import Promotions
from app.queue import CeleryQueue, Queue
from app.readiness import ReadinessMonitor
from app.registry.audit import AuditRepository
from app.registry.db import Database, make_engine
from app.registry.tokens import TokenRepository
from app.serving.batcher import BatchLimits
from app.serving.metrics import ServingCollector
from app.serving.service import ServingService
from app.startup import prepare
from app.storage import Storage

gc.enable()

log = structlog.get_logger("app.main")

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


class Application(NamedTuple):
    """The whole application.

    Attributes:
        asgi: outermost layer first: gate, predict app, FastAPI.
        fast_path: answers predictions for a server that can ask it; None: there is none, or it is switched off.
        state: the parts behind it.
    """

    asgi: Gate
    fast_path: FastPath | None
    state: Service


def create_app(settings: Settings, *, queue: Queue | None = None) -> Application:
    """Nothing is opened or started before the lifespan begins, but the database's engine and the store's directory are
    made.

    Args:
        queue: a stand-in for the broker, in tests.
    """
    database = Database(make_engine(settings))
    queue = queue or CeleryQueue(settings.broker_url)
    traffic = Traffic()
    metrics = CollectorRegistry()
    metrics.register(traffic)
    metrics.register(JobCollector(database))
    serving = _serving(settings)
    promotions = Promotions(serving)
    service = Service(
        settings=settings,
        database=database,
        storage=Storage(settings.artifacts),
        queue=queue,
        dispatch=Dispatch(settings, database, queue),
        feed=EventFeed(database, promotions),
        promotions=promotions,
        authenticate=Authenticator(lambda secret: _find_token(service, secret), version=database.commits.version),
        metrics=metrics,
        readiness=ReadinessMonitor(database, queue),
    )
    api = create_api(service)
    inner: ASGIApp = PublicApp(
        api,
        pages=pages(),
        document=lambda: json.dumps(api.openapi(), ensure_ascii=False, separators=(",", ":")).encode(),
        ready=lambda: current(service).model_dump_json().encode(),
    )
    accounts = Accounts(token_limits(settings))
    model_sync = front = None
    if serving is not None:
        metrics.register(ServingCollector(serving))
        model_sync = ModelSync(database, service.storage, serving, poll_s=settings.serving_poll_s)
        inner = front = PredictApp(
            inner,
            serving,
            problem,
            large_bodies=service.large_bodies,
            accounts=accounts,
            max_body_bytes=settings.max_body_bytes,
        )
    inner = Lifespan(inner, service, serving, model_sync)
    refused = Refusals(service)
    gate = Gate(inner, settings, service.authenticate, refused=refused, traffic=traffic, accounts=accounts)
    fast_path = None
    if front is not None and settings.fast_path:
        fast_path = FastPath(gate, front, service.authenticate.remembered, max_body_bytes=settings.max_body_bytes)
    return Application(gate, fast_path, service)


def create() -> Gate:
    """For a server that is given a factory. Connections are that server's own then, without our limits and without the
    fast path."""
    settings = Settings()
    configure(settings.log_level)
    return create_app(settings).asgi


def main() -> None:
    settings = Settings()
    configure(settings.log_level)
    only_for_us(*settings.broker_directories)
    for found in protect(settings.private_directories, settings.private_files):
        log.warning("files were not for this user alone", found=found)
    app = create_app(settings)
    limits = ConnectionLimits(total=settings.max_connections, per_address=settings.max_connections_per_address)
    serve(app.asgi, host=settings.host, port=settings.port, fast_path=app.fast_path, limits=limits)


class Lifespan:
    """Starts and stops the parts with the server."""

    def __init__(
        self, app: ASGIApp, service: Service, serving: ServingService | None, model_sync: ModelSync | None
    ) -> None:
        self._app = app
        self._service = service
        self._serving = serving
        self._model_sync = model_sync
        self._preparing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        if self._serving is not None:
            await self._serving.start()
        self._preparing = asyncio.create_task(self._prepare(), name="prepare")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _prepare(self) -> None:
        await prepare(self._service)
        self._service.readiness.start()
        if self._model_sync is not None:
            await self._model_sync.start()
        log.info("ready")
        INGESTOR.warm()
        await asyncio.to_thread(self._service.queue.ping)  # imports what the first submit would wait for
        gc.freeze()  # a full collection would look at all that was imported, while every request waits

    async def _stop(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            with suppress(asyncio.CancelledError):
                await self._preparing
        self._service.readiness.stop()
        await self._service.feed.stop()
        await self._service.large_bodies.stop()
        if self._model_sync is not None:
            await self._model_sync.stop()
        if self._serving is not None:
            await self._serving.stop()
        if isinstance(self._service.queue, CeleryQueue):
            self._service.queue.close()
        self._service.database.close()


class Refusals:
    """Writes refused tokens and scopes to the audit, at most one a second of each kind: a flood fills no disk."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._last: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, token: TokenInfo | None, method: str, path: str, why: str) -> None:
        now = asyncio.get_running_loop().time()
        who = (token.id if token else "", why)
        if now - self._last.get(who, float("-inf")) < 1.0:
            return
        if len(self._last) > 1000:
            self._last.clear()
        self._last[who] = now
        task = asyncio.create_task(asyncio.to_thread(self._write, token.id if token else None, method, why))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _write(self, token_id: str | None, method: str, why: str) -> None:
        with suppress(ServiceError), self._service.database.session() as session:
            AuditRepository(session).add(token_id, "token.refused", method, {"why": why})


def _serving(settings: Settings) -> ServingService | None:
    if settings.predictor == "none":
        return None
    limits = BatchLimits(
        batch_rows=settings.predict_max_batch_rows,
        queue_rows=settings.predict_max_queue_rows,
        timeout_s=settings.predict_timeout_s,
        request_memory=settings.predict_request_memory,
    )
    return ServingService(limits=limits, memory_bytes=settings.predict_memory_bytes)


def _find_token(service: Service, secret: str) -> TokenInfo | None:
    if service.not_ready:
        raise Unavailable(service.not_ready)
    with service.database.read() as session:
        row = TokenRepository(session).find(secret)
    return TokenInfo(row.id, row.name, frozenset(row.scopes)) if row else None


if __name__ == "__main__":
    main()
