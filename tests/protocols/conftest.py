"""A real gRPC port over a real predictor process, with the exports of the serving tests."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from app.config import Settings
from app.http.admission import AdmissionMiddleware
from app.http.auth import Authenticator, TokenInfo
from app.http.connections import ConnectionLimits, ConnectionTable
from app.http.rate_limit import Accounts, TokenLimits
from app.http.request_metrics import Traffic
from app.http.server import Server as HttpServer
from app.protocols import tfs_schema
from app.protocols.grpc_server import GrpcServer
from app.protocols.inference import Inference
from app.protocols.open_inference_rest import OpenInferenceApp
from app.protocols.rpc_methods import Methods
from app.protocols.rpc_services import all_services
from app.releases.keep import KeepPolicy
from app.serving.model_limits import BatchLimits
from app.serving.own_predictors import OwnPredictors
from app.serving.split import Share
from app.serving.wanted_version import WantedVersion
from tests.fork_server import Lender
from tests.serving.conftest import Server, exports, wanted  # noqa: F401  fixtures

TOKENS = {
    "asker": TokenInfo("tok_1", "asker", frozenset({"predict", "read"})),
    "reader": TokenInfo("tok_2", "reader", frozenset({"read"})),
}
MESSAGE_BYTES = 2**21


class Port:
    """The service behind a gRPC port, and a way to call it with messages of the schema.

    Attributes:
        ready: what health checks are told.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ready = True
        self.traffic = Traffic()
        self.number = server.call(self._open())
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.number}")

    async def _open(self) -> int:
        accounts = Accounts(TokenLimits(rows_in_flight=1000))
        authenticator = Authenticator(TOKENS.get)
        self.inference = Inference(self.server.service, authenticator, accounts, max_message_bytes=MESSAGE_BYTES)
        services = all_services(self.inference, lambda: self.ready)
        methods = Methods(self.inference, services.methods, self.traffic)
        self.table = ConnectionTable(ConnectionLimits())
        self.table.start()
        self.grpc = GrpcServer(self.table, methods, services, max_message_bytes=MESSAGE_BYTES)
        admission = AdmissionMiddleware(
            OpenInferenceApp(_nothing, self.inference, lambda: self.ready),
            Settings(host="127.0.0.1", max_body_bytes=MESSAGE_BYTES),
            authenticator,
            accounts=accounts,
        )
        self.http = HttpServer(admission, port=0)
        self.http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        listener = socket.create_server(("127.0.0.1", 0))
        self.http_address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.serving = asyncio.create_task(self.http._serve([listener]))
        listener = socket.create_server(("127.0.0.1", 0))
        self.grpc.start([listener])
        return int(listener.getsockname()[1])

    def raw(
        self, path: str, message: bytes, *, token: str | None = "asker", timeout: float = 60.0, **metadata: str
    ) -> bytes:
        """The answer's bytes. Raises grpc.RpcError."""
        given = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        if token is not None:
            given.append(("authorization", f"Bearer {token}"))
        return self.channel.unary_unary(path)(message, metadata=given, timeout=timeout)  # type: ignore[no-any-return]

    def call(self, name: str, request: Any, answer: str, **options: Any) -> Any:
        """Calls a method of `tensorflow.serving` by `Service/Method`."""
        sent = self.raw(f"/tensorflow.serving.{name}", request.SerializeToString(), **options)
        return message(answer).FromString(sent)

    def refusal(self, name: str, request: Any, **options: Any) -> tuple[str, str]:
        """Status and detail of a call that has to fail."""
        with pytest.raises(grpc.RpcError) as caught:
            self.raw(f"/tensorflow.serving.{name}", request.SerializeToString(), **options)
        return caught.value.code().name, caught.value.details()

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something holds on the service's loop."""

        async def holds() -> bool:
            return condition()

        end = time.monotonic() + 240
        while not self.server.call(holds()):
            assert time.monotonic() < end, "it never came to that"
            threading.Event().wait(0.005)

    def close(self) -> None:
        self.channel.close()
        self.http.should_exit = True

        async def ended() -> None:
            await self.serving

        self.server.call(ended())
        self.server.call(self.grpc.stop(1.0))


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """Stands where all other paths are answered; for the lifespan it is there."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def message(name: str) -> Any:
    """A message class of `tensorflow.serving`, or one of the few of `tensorflow`."""
    package = "tensorflow" if name in ("TensorProto", "Example") else "tensorflow.serving"
    return tfs_schema.PUBLIC.message(f"{package}.{name}")


@pytest.fixture(scope="session")
def port(wanted: Callable[..., WantedVersion], fork_server: Lender) -> Iterator[Port]:  # noqa: F811
    """With the models half (versions 1 and 2, 2 as `canary`), mixed and picky.

    Half of the requests for `divided` are answered by its version 2; version 2 of `shadowed` gets copies of all; all
    requests for `shadowed` and `recorded` are kept.
    """
    with fork_server.lent():
        server = Server(limits=BatchLimits(timeout_s=50), predictors=OwnPredictors(spare=False))
    server.sync(
        wanted("half", 1, "plus2"),
        wanted("half", 2, "plus3", labels=("canary",)),
        wanted("mixed", 1, "mixed"),
        wanted("picky", 1, "picky"),
        wanted("divided", 1, "plus2", shares=(Share("latest", 1, canary=2, per_mille=500),)),
        wanted("divided", 2, "plus3", labels=(), previous=True),
        wanted("shadowed", 1, "plus2", shares=(Share("latest", 1, shadow=2),), keep=KeepPolicy(1000, 30.0, 2**30)),
        wanted("shadowed", 2, "plus3", labels=(), previous=True),
        wanted("recorded", 1, "mixed", keep=KeepPolicy(1000, 30.0, 2**30, redact=("s",))),
    )
    port = Port(server)
    port.until(lambda: all(version.loaded for version in server.service.models.versions.values()))
    yield port
    port.close()
    server.stop()
