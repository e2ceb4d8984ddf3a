"""A server with the fast path of predictions, before a service that gives bodies back."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.config import Settings
from app.errors import InvalidInput, ServiceError, Unavailable
from app.http.admission import AdmissionMiddleware
from app.http.auth import TokenInfo
from app.http.connections import ConnectionLimits
from app.http.fast_predict import FastPath
from app.http.predict_app import PredictApp
from app.http.problems import problem
from app.http.rate_limit import Accounts, TokenLimits
from app.http.request_metrics import Traffic
from app.serving.decode import Decoded
from app.serving.version_queue import PredictionResult
from tests.api.conftest import served
from tests.http import raw

TOKENS = {
    "asker": TokenInfo("tok_1", "asker", frozenset({"predict"})),
    "another": TokenInfo("tok_3", "another", frozenset({"predict"})),
    "reader": TokenInfo("tok_2", "reader", frozenset({"read"})),
}
SIZE = re.compile(rb"content-length: (\d+)")


class Echo:
    """Stands for a service with the one model `m`, whose answer is the request's body."""

    def __init__(self) -> None:
        from app.serving.serving_version import ServingVersion
        from app.serving.wanted_version import WantedVersion

        self.version: Any = ServingVersion(WantedVersion("m", 1, "", "", "ver_1"), 1)
        self.version.queue = self
        self.key = 1
        self.decoder = self.batcher = self.models = self
        self.max_rows = 1000
        self.error: ServiceError | None = None
        self.delay_s = 0.0
        self.futures = 0
        self.asked: list[tuple[bytes, int | None, Any]] = []  # body, version, account of its token
        self._number: int | None = None

    def get_if_loaded(self, model: str, number: int | None, label: str | None, headers: Any = None) -> Any:
        self._number = number
        return self.version if model == "m" else None

    async def wait_until_loadable(self, model: str, number: int | None, label: str | None, headers: Any = None) -> Any:
        self._number = number
        return self.version

    def put_back(self, model: str, label: str | None) -> None:
        """No label is divided here."""

    def decode_typed(self, verb: str, body: bytes) -> Decoded | None:
        return None

    def decode(self, verb: str, body: bytes) -> Decoded:
        if body == b"bad":
            raise InvalidInput("The body is bad.")
        return Decoded(body.decode(), None, [body], 0, 1)  # type: ignore[arg-type]

    decode_carefully = decode

    def submit(
        self, queue: Any, request: Decoded, size: int, reply: Any, account: Any = None, *, charged: int = 0
    ) -> None:
        self.futures += isinstance(reply, asyncio.Future)
        self.asked.append((request.rows[0], self._number, account))
        asyncio.get_running_loop().call_later(self.delay_s, self._answer, request.rows[0], reply)

    def _answer(self, body: bytes, reply: Any) -> None:
        if reply.done():
            return
        if body == b"late":
            reply.set_exception(Unavailable("Not now.", retry_after_s=1))
        else:
            reply.set_result(PredictionResult(body, 3, 4, 5))


class Site:
    def __init__(
        self, address: str, echo: Echo, tokens: dict[str, TokenInfo], traffic: Traffic, fast_path: FastPath
    ) -> None:
        host, port = address.removeprefix("http://").split(":")
        self.address = host, int(port)
        self.echo = echo
        self.tokens = tokens
        self.traffic = traffic
        self.fast_path = fast_path

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)


@contextmanager
def running(
    limits: TokenLimits | None = None,
    *,
    idle_s: float = 60.0,
    body_timeout_s: float = 60.0,
    max_body_bytes: int = 1000,
) -> Iterator[Site]:
    tokens = dict(TOKENS)

    async def authenticate(secret: str) -> TokenInfo | None:
        return tokens.get(secret)

    def remembered(digest: bytes) -> TokenInfo | None:
        return {hashlib.sha256(secret.encode()).digest(): token for secret, token in tokens.items()}.get(digest)

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("only predictions are sent here")

    echo, traffic = Echo(), Traffic()
    accounts = Accounts(limits or TokenLimits())
    front = PredictApp(nothing, echo, problem, accounts=accounts)  # type: ignore[arg-type]
    settings = Settings(host="127.0.0.1", max_body_bytes=max_body_bytes, body_timeout_s=body_timeout_s)
    admission = AdmissionMiddleware(front, settings, authenticate, traffic=traffic, accounts=accounts)
    direct = FastPath(admission, front, remembered, max_body_bytes=max_body_bytes)
    with served(admission, fast_path=direct, limits=ConnectionLimits(idle_s=idle_s)) as address:
        yield Site(address, echo, tokens, traffic, direct)


def request(body: bytes, *, path: str = "/v1/models/m:predict", headers: bytes = b"", token: str = "asker") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + headers + b"\r\n" + body


def receive(connection: socket.socket) -> tuple[int, dict[bytes, bytes], bytes]:
    """One answer."""
    head, body = raw.read_parts(connection)
    assert SIZE.search(head)
    status, *lines = head.split(b"\r\n")
    headers = dict(queue.split(b": ", 1) for queue in lines)
    assert len(headers) == len(lines)
    return int(status.split()[1]), headers, body


def ask(site: Site, connection: socket.socket, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    connection.sendall(data)
    return receive(connection)
