"""The API process: where the parts meet.

python -m app.main                              one alone, with its own predictors
uvicorn --factory app.main:create               the same under a server of your own
python -m app.lanes                             several on one host, see `app.lanes`
"""

# ruff: noqa: E402
from __future__ import annotations

import gc
import importlib

gc.disable()  # while it is imported: nothing is garbage yet, and looking for it took a quarter of the start

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from app.api.application import create_api
from app.api.deps import AppState
from app.api.event_feed import EventFeed
from app.api.guide import Guide
from app.api.health import current, is_ready
from app.api.job_metrics import JobCollector
from app.api.pages import pages
from app.arm_writer import ArmWriter
from app.artifact_store import open_storage
from app.config import Settings
from app.dispatch import Dispatch
from app.errors import ServiceError, Unavailable
from app.http.admission import AdmissionMiddleware, token_limits
from app.http.auth import Authenticator, TokenInfo
from app.http.connections import ConnectionLimits, ConnectionTable
from app.http.fast_predict import FastPath
from app.http.host_limits import HostConnections, account_maker
from app.http.predict_app import PredictApp
from app.http.problems import problem
from app.http.public import PublicApp
from app.http.rate_limit import Accounts
from app.http.request_metrics import Traffic
from app.http.server import serve
from app.http.traced import TracedFastPath, TracedRequests
from app.label_flips import LabelFlips
from app.lanes.exposition import Exposition
from app.lanes.host_versions import HostVersions
from app.lanes.link import ParentLink
from app.log import configure
from app.model_sync import ModelSync
from app.private_files import only_for_us, protect
from app.promotion import Promotions
from app.protocols.inference import Inference
from app.protocols.open_inference_rest import OpenInferenceApp
from app.protocols.port import GrpcPort
from app.queue import CeleryQueue, Queue, RayQueue, is_amqp, make_queue
from app.readiness import ReadinessMonitor
from app.registry.audit import AuditRepository
from app.registry.db import Database, make_engine
from app.registry.tokens import TokenRepository
from app.serving.engines import engine_of
from app.serving.metrics import ServingCollector
from app.serving.model_limits import BatchLimits
from app.serving.service import ServingService
from app.serving.shared_models import SharedModels
from app.startup import prepare
from app.storage import Storage
from app.traces import Tracing, make_tracing

gc.freeze()  # or the first collection looks at all of it now
gc.enable()

log = structlog.get_logger("app.main")

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


class Application(NamedTuple):
    """The whole application.

    Attributes:
        asgi: outermost layer first: admission, predict app, FastAPI.
        fast_path: answers predictions for a server that can ask it; None: there is none, or it is switched off.
        state: the parts behind it.
        grpc_port: that the lifespan opens; None: nothing is predicted here.
    """

    asgi: AdmissionMiddleware
    fast_path: FastPath | None
    state: AppState
    grpc_port: GrpcPort | None


def create_app(
    settings: Settings,
    *,
    queue: Queue | None = None,
    link: ParentLink | None = None,
    table: ConnectionTable | None = None,
    grpc_listeners: Sequence[socket.socket] | None = None,
) -> Application:
    """Nothing is opened or started before the lifespan begins, but the database's engine and the store's directory are
    made.

    Args:
        queue: a stand-in for the broker, in tests.
        link: to the serving parent, in a lane.
        table: counts the connections of HTTP and gRPC together; None: gRPC's are counted alone.
        grpc_listeners: of the gRPC port, where somebody else opened it.
    """
    database = Database(make_engine(settings))
    queue = queue or make_queue(settings)
    traffic = Traffic()
    metrics = CollectorRegistry()
    metrics.register(traffic)
    storage = open_storage(settings)
    serving = _serving(settings, storage, link)
    promotions = Promotions(serving)
    app_state = AppState(
        settings=settings,
        database=database,
        storage=storage,
        queue=queue,
        dispatch=Dispatch(settings, database, queue),
        feed=EventFeed(database, promotions, most_per_token=settings.event_streams_per_token),
        promotions=promotions,
        flips=LabelFlips(serving),
        authenticate=Authenticator(lambda secret: _find_token(app_state, secret), version=database.commits.version),
        metrics=Exposition(metrics, JobCollector(database), link),
        readiness=ReadinessMonitor(database, queue, storage, on_ray=settings.executor == "ray"),
        lanes=(lambda: (link.serving(), link.lanes)) if link is not None else (lambda: (1, 1)),
    )
    inner: ASGIApp = _public_app(app_state)
    host = link.table if link is not None and link.lanes > 1 else None
    accounts = Accounts(token_limits(settings), make=account_maker(host))
    model_sync = front = grpc_port = None
    if serving is not None:
        metrics.register(ServingCollector(serving))
        model_sync = ModelSync(database, app_state.storage, serving, poll_s=settings.serving_poll_s)
        inference = Inference(serving, app_state.authenticate, accounts, max_message_bytes=settings.max_body_bytes)
        inner = front = _prediction_app(inner, app_state, serving, inference, accounts)
        own = connection_table(settings) if table is None else table
        ready = partial(is_ready, app_state)
        grpc_port = GrpcPort(settings, inference, traffic, ready, table=own, listeners=grpc_listeners)
    inner = Lifespan(inner, app_state, serving, model_sync, grpc_port, link)
    tracing = make_tracing(settings, "estimator-api")
    if tracing is not None:
        inner = TracedRequests(inner, tracing)
    admission = AdmissionMiddleware(
        inner, settings, app_state.authenticate, refused=Refusals(app_state), traffic=traffic, accounts=accounts
    )
    fast_path = None if front is None or not settings.fast_path else _fast_path(admission, front, app_state, tracing)
    return Application(admission, fast_path, app_state, grpc_port)


def _public_app(app_state: AppState) -> PublicApp:
    """All that HTTP serves but predictions; public paths in front of it."""
    api = create_api(app_state)
    return PublicApp(
        api,
        pages=pages(),
        document=lambda: json.dumps(api.openapi(), ensure_ascii=False, separators=(",", ":")).encode(),
        ready=lambda: current(app_state).model_dump_json().encode(),
        guide=Guide(),
    )


def _fast_path(
    admission: AdmissionMiddleware, front: PredictApp, app_state: AppState, tracing: Tracing | None
) -> FastPath:
    make = FastPath if tracing is None else partial(TracedFastPath, tracing)
    most_bytes = app_state.settings.max_body_bytes
    return make(admission, front, app_state.authenticate.remembered, max_body_bytes=most_bytes)


def _prediction_app(
    app: ASGIApp, app_state: AppState, serving: ServingService, inference: Inference, accounts: Accounts
) -> PredictApp:
    """Predictions in front of all else that HTTP serves."""
    app_state.engine_of = partial(engine_of, serving.models)
    return PredictApp(
        OpenInferenceApp(app, inference, partial(is_ready, app_state)),
        serving,
        problem,
        large_bodies=app_state.large_bodies,
        accounts=accounts,
        max_body_bytes=app_state.settings.max_body_bytes,
    )


def create() -> AdmissionMiddleware:
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
    table = connection_table(settings)
    app = create_app(settings, table=table)
    serve(app.asgi, host=settings.host, port=settings.port, fast_path=app.fast_path, table=table)


def connection_table(settings: Settings, elsewhere: HostConnections | None = None) -> ConnectionTable:
    """An empty table with the limits of the settings.

    Args:
        elsewhere: what other lanes have.
    """
    limits = ConnectionLimits(
        total=settings.max_connections,
        per_address=settings.max_connections_per_address,
        idle_s=settings.keep_alive_s,
    )
    return ConnectionTable(limits, elsewhere=elsewhere)


def import_all(settings: Settings) -> None:
    """Imports what the first requests would wait for, before lanes are forked; opens nothing and starts no thread."""
    if settings.uses_celery:
        importlib.import_module("kombu.transport.pyamqp" if is_amqp(settings.broker) else "kombu.transport.redis")
    create_app(settings)


class Lifespan:
    """Starts and stops the parts with the server."""

    def __init__(
        self,
        app: ASGIApp,
        app_state: AppState,
        serving: ServingService | None,
        model_sync: ModelSync | None,
        grpc_port: GrpcPort | None,
        link: ParentLink | None,
    ) -> None:
        self._link = link
        self._ready = asyncio.Event()
        self._app = app
        self._state = app_state
        self._serving = serving
        self._model_sync = model_sync
        self._grpc_port = grpc_port
        every_s = app_state.settings.release_counts_s
        self._arms = (
            None if serving is None else ArmWriter(app_state.database, app_state.storage, serving, every_s=every_s)
        )
        self._preparing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        if self._link is not None:
            self._link.start()
        if self._serving is not None:
            await self._serving.start()
        if self._grpc_port is not None:
            try:
                await self._grpc_port.open()
            except OSError as error:
                log.error("cannot open the gRPC port", why=str(error))
                if self._serving is not None:
                    await self._serving.stop()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
        self._preparing = asyncio.create_task(self._prepare(), name="prepare")
        if self._link is not None:
            await self._wait(self._link.patience_s)
        if self._grpc_port is not None:
            self._grpc_port.accept()
        await send({"type": "lifespan.startup.complete"})
        warming = asyncio.create_task(self._warm_up(), name="warm-up")
        await receive()
        warming.cancel()
        with suppress(asyncio.CancelledError):
            await warming
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _wait(self, patience_s: float) -> None:
        """Until predictions can be answered, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._ready.wait()
                if self._serving is not None:
                    await self._serving.wait_for_all()

    async def _prepare(self) -> None:
        await prepare(self._state)
        self._state.readiness.start()
        if self._model_sync is not None:
            await self._model_sync.start()
        if self._arms is not None:
            self._arms.start()
        self._ready.set()
        log.info("ready")

    async def _warm_up(self) -> None:
        """What later requests would wait for, once the first ones need not wait for it."""
        await self._ready.wait()
        await asyncio.to_thread(self._state.queue.ping)  # imports what the first submit would wait for
        gc.freeze()  # a full collection would look at all that was imported, while every request waits

    async def _stop(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            with suppress(asyncio.CancelledError):
                await self._preparing
        if self._grpc_port is not None:
            await self._grpc_port.stop()
        self._state.readiness.stop()
        await self._state.feed.stop()
        await self._state.large_bodies.stop()
        if self._arms is not None:
            await self._arms.stop()
        if self._model_sync is not None:
            await self._model_sync.stop()
        if self._serving is not None:
            await self._serving.stop()
        elif self._link is not None:
            await self._link.stop()
        if isinstance(self._state.queue, CeleryQueue | RayQueue):
            self._state.queue.close()
        self._state.database.close()


class Refusals:
    """Writes refused tokens and scopes to the audit, at most one a second of each kind: a flood fills no disk."""

    def __init__(self, app_state: AppState) -> None:
        self._state = app_state
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
        with suppress(ServiceError), self._state.database.session() as session:
            AuditRepository(session).add(token_id, "token.refused", method, {"why": why})


def _serving(settings: Settings, storage: Storage, link: ParentLink | None) -> ServingService | None:
    if settings.predictor == "none":
        return None
    limits = BatchLimits(
        batch_rows=settings.predict_max_batch_rows,
        queue_rows=settings.predict_max_queue_rows,
        timeout_s=settings.predict_timeout_s,
        request_memory=settings.predict_request_memory,
    )
    hold = (lambda path, digest: storage.hold(storage.key(path), digest)) if storage.remote else None
    make = partial(ServingService, limits=limits, hold=hold, conversions=settings.cache_directory / "onnx")
    if link is None:
        return make(memory_bytes=settings.predict_memory_bytes)
    # Each lane has its versions in a predictor of its own, and the first one tries new ones for all.
    others = SharedModels(link.index, link.lanes)
    link.meet, link.leave = others.meet, others.leave
    return make(
        memory_bytes=settings.predict_memory_bytes // link.lanes,
        predictors=link,
        validates=link.index == 0,
        neighbours=HostVersions(link.table) if link.lanes > 1 else None,
        others=others,
    )


def _find_token(app_state: AppState, secret: str) -> TokenInfo | None:
    if app_state.not_ready:
        raise Unavailable(app_state.not_ready)
    with app_state.database.read() as session:
        row = TokenRepository(session).find(secret)
    return TokenInfo(row.id, row.name, frozenset(row.scopes)) if row else None


if __name__ == "__main__":
    main()
