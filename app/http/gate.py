"""The outermost layer: who may enter, with how much, and the line in the log. Plain ASGI, for FastAPI's routes and the
predict path alike.

In this order: Host, Origin, token, scope, rate, body. Inside it `scope["state"]["token"]` is a `TokenInfo`,
`scope["state"]["request_id"]` a string, and the first `http.request` message holds the whole body, inflated, for all
but uploads (`UPLOAD_PATHS`), which are streamed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from app.config import Settings
from app.errors import Forbidden, InvalidInput, ServiceError, Unauthenticated, UnsupportedMedia
from app.http.auth import PUBLIC_PATHS, TokenInfo, check_scope, scope_needed
from app.http.body import BoundedBody, ClientGone, Message, Receive, too_large
from app.http.problems import Headers, Misdirected, problem
from app.http.rate_limit import Account, Accounts, TokenLimits
from app.http.request_metrics import Traffic
from app.ids import new_id
from app.serving.verbs import PATH_ENDINGS

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Authenticate = Callable[[str], Awaitable[TokenInfo | None]]
Refused = Callable[[TokenInfo | None, str, str, str], None]

UPLOAD_PATHS = frozenset({"/v1/datasets"})
DOCUMENT_PATHS = frozenset({"/v1/jobs"})
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")
_READ = frozenset({b"host", b"origin", b"authorization", b"content-length", b"content-encoding", b"transfer-encoding",
                   b"x-request-id", b"access-control-request-method"})  # fmt: skip
_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{0,5})?")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_FORM_BYTES = 2**20  # what a multipart form adds to its file
_SMALL_BODY_BYTES, _PUBLIC_BODY_BYTES = 256 * 1024, 16 * 1024
_LINGER_S, _LINGER_BYTES = 1.0, 8 * 2**20

# A new identifier a request would cost more than the rest of the gate: this process' own and a number.
_process_id = b""
_numbers = itertools.count()


def _name_process() -> None:
    global _process_id
    _process_id = new_id("req").encode()[:20]


_name_process()
os.register_at_fork(after_in_child=_name_process)

log = structlog.get_logger("app.access")


class Gate:
    """Args:
    app: what is behind the gate.
    authenticate: a secret's `TokenInfo`, None if it is unknown or revoked.
    refused: told (token or None, method, path, why) of each 401 and 403, for the audit.
    traffic: counts of requests, for /metrics.
    accounts: what each token uses, shared with the predict path.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        authenticate: Authenticate,
        *,
        refused: Refused | None = None,
        traffic: Traffic | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.app = app
        self._settings = settings
        self._authenticate = authenticate
        self._refused = refused or (lambda token, method, path, why: None)
        self.traffic = traffic or Traffic()
        self._accounts = accounts or Accounts(token_limits(settings))
        names = [*_LOOPBACK, settings.host, *settings.allowed_hosts.split(",")]
        self._hosts = frozenset(name.strip().lower() for name in names if name.strip())
        self._origins = frozenset(
            part.strip().rstrip("/") for part in settings.allowed_origins.split(",") if part.strip()
        )
        self._good_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _Exchange(self, scope, receive, send).run()
        else:  # there are no websockets here
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def new_request_id(self) -> bytes:
        return b"%b%010x" % (_process_id, next(_numbers))

    def record(
        self,
        method: str,
        path: str,
        status: int,
        took_s: float,
        *,
        request_id: str,
        token: TokenInfo | None,
        route: str = "none",
    ) -> None:
        """Counts a request and writes its line in the log."""
        predict = path.endswith(PATH_ENDINGS)
        name = "predict" if predict else route
        self.traffic.add(method if method in _METHODS else "other", name, status, took_s)
        if (status < 400 and predict) or ((status < 500 or path == "/readyz") and path in PUBLIC_PATHS):
            return  # counted in /metrics; a line would cost more than the prediction, and health checks are noise
        log.info(
            "request",
            request_id=request_id,
            method=method,
            path=path,
            status=status,
            ms=round(took_s * 1000, 2),
            token_id=token.id if token else None,
        )

    def check_host(self, host: bytes) -> None:
        """Raises Misdirected."""
        if host in self._good_hosts:
            return
        found = _HOST.fullmatch(host)
        if found is None or (found[1] or found[2]).decode().lower() not in self._hosts:
            raise Misdirected("This service does not answer for that Host. The operator adds names with ALLOWED_HOSTS.")
        if len(self._good_hosts) < 1000:
            self._good_hosts.add(host)

    def allows_origin(self, origin: bytes, host: bytes) -> bool:
        """Whether a page of that origin may call: our own (the host was checked before), or one that was named."""
        return origin in (b"http://" + host, b"https://" + host) or origin.decode("latin-1") in self._origins


class _Exchange:
    """One request and its answer."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate = gate
        self.scope = scope
        self.receive = receive
        self.send = send
        self.started = time.perf_counter()
        self.status = 0
        self.token: TokenInfo | None = None
        self.account = Account()  # of the token; without one it is nobody's
        self.counted = 0  # bytes in it
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = {}
        self.extra: Headers = [(b"x-content-type-options", b"nosniff")]
        self.body_pending = False
        self.upload: BoundedBody | None = None
        self.cut = False

    async def run(self) -> None:
        try:
            self._read_headers()
            if await self._preflight():
                return
            await self._admit()
            await self.gate.app(self.scope, await self._bounded(), self._answer)
        except ClientGone:
            self.status = self.status or 499
        except ServiceError as error:
            await self._refuse(error)
        except Exception as error:
            await self._refuse(error)
            log.error("request failed", request_id=self.request_id, path=self.path, exc_info=error)
        finally:
            self.account.bytes -= self.counted
            self._record()

    @property
    def request_id(self) -> str:
        return str(self.scope["state"].get("request_id", ""))

    def _read_headers(self) -> None:
        state = self.scope.setdefault("state", {})
        found = self.headers
        doubled = False
        for name, value in self.scope["headers"]:
            if name in _READ:
                doubled = doubled or name in found
                found[name] = value
        given = found.get(b"x-request-id", b"")
        request_id = given if given and _REQUEST_ID.match(given) else self.gate.new_request_id()
        state["request_id"] = request_id.decode()
        self.extra.append((b"x-request-id", request_id))
        self.body_pending = b"transfer-encoding" in found or found.get(b"content-length", b"0") != b"0"
        if doubled:
            raise InvalidInput("A header that may stand once only is there twice.")

    async def _admit(self) -> None:
        self._check_source()
        public = self.path in PUBLIC_PATHS and self.method in {"GET", "HEAD"}
        if not public:
            self.token = await self._who()
            self.account = self.gate._accounts.of(self.token.id)
            self.scope["state"]["token"] = self.token
            try:
                check_scope(self.token, scope_needed(self.method, self.path))
            except Forbidden as error:
                self.gate._refused(self.token, self.method, self.path, error.detail)
                raise
            if not self.path.endswith(PATH_ENDINGS):
                self.gate._accounts.take_request(self.account)

    def _check_source(self) -> None:
        host = self.headers.get(b"host", b"")
        self.gate.check_host(host)
        origin = self.headers.get(b"origin")
        if origin is None:
            return
        if not self.gate.allows_origin(origin, host):
            raise Forbidden("Pages of that Origin may not call. The operator adds origins with ALLOWED_ORIGINS.")
        self.extra += [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]

    async def _who(self) -> TokenInfo:
        scheme, _, secret = self.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            raise Unauthenticated("Send the header `Authorization: Bearer TOKEN`.")
        try:
            token = await self.gate._authenticate(secret.strip().decode("ascii"))
        except UnicodeDecodeError:
            token = None
        if token is None:
            self.gate._refused(None, self.method, self.path, "unknown or revoked token")
            raise Unauthenticated("The token is unknown or was revoked.")
        return token

    async def _preflight(self) -> bool:
        """Answers a browser's question whether a page of an allowed origin may call."""
        if self.method != "OPTIONS" or b"access-control-request-method" not in self.headers:
            return False
        self._check_source()
        self.extra += [
            (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
            (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, if-match, last-event-id"),
            (b"access-control-max-age", b"600"),
        ]
        await self._answer({"type": "http.response.start", "status": 204, "headers": []})
        await self._answer({"type": "http.response.body", "body": b""})
        return True

    async def _bounded(self) -> Receive:
        """The receive for the app: limits checked, body in memory unless it is an upload."""
        if not self.body_pending:
            return self.receive
        upload = self.method == "POST" and self.path in UPLOAD_PATHS
        settings = self.gate._settings
        limit = body_limit(settings, self.method, self.path)
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > limit:
            raise too_large(limit)
        encoding = self.headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b"gzip"):
            raise UnsupportedMedia("Only the Content-Encoding gzip is taken.")
        body = BoundedBody(
            self.receive,
            limit=limit,
            timeout_s=settings.body_timeout_s,
            gzipped=encoding == b"gzip",
            count=self._count_bytes,
        )
        if encoding == b"gzip":  # nobody behind the gate may inflate again or trust the old length
            dropped = (b"content-encoding", b"content-length")
            self.scope["headers"] = [item for item in self.scope["headers"] if item[0] not in dropped]
        if upload:
            self.upload = body
            return body
        whole = await body.whole()
        self.body_pending = False
        return _replay(whole, self.receive)

    def _count_bytes(self, size: int) -> None:
        self.gate._accounts.check_bytes(self.account, size - self.counted)
        self.account.bytes += size - self.counted
        self.counted = size

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.extra]
            if self.upload is not None and not self.upload.complete:
                self.cut = True  # the answer came before the end of the upload: nobody waits for the rest
                message["headers"].append((b"connection", b"close"))
        elif self.cut and not message.get("more_body", False):
            await self.send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self.send(message)

    async def _refuse(self, error: Exception) -> None:
        if self.status:  # too late to say it: the server cuts the connection, so that nobody takes half for whole
            return
        status, headers, body = problem(error, self.path)
        if self.body_pending:
            headers.append((b"connection", b"close"))
        headers.append((b"content-length", str(len(body)).encode()))
        await self._answer({"type": "http.response.start", "status": status, "headers": headers})
        if self.body_pending:
            await self.send({"type": "http.response.body", "body": body, "more_body": True})
            await self._linger()
            body = b""
        await self.send({"type": "http.response.body", "body": body})

    async def _linger(self) -> None:
        """Drops what the client still sends, for a moment: closing at once could make its system drop our answer."""
        dropped = 0
        try:
            async with asyncio.timeout(_LINGER_S):
                while dropped < _LINGER_BYTES:
                    message = await self.receive()
                    dropped += len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
        except TimeoutError:
            pass

    def _record(self) -> None:
        self.gate.record(
            self.method,
            self.path,
            self.status,
            time.perf_counter() - self.started,
            request_id=self.request_id,
            token=self.token,
            route=getattr(self.scope.get("route"), "path", "none"),
        )


def token_limits(settings: Settings) -> TokenLimits:
    return TokenLimits(
        requests_per_s=settings.rate_per_s,
        requests_burst=settings.rate_burst,
        predictions_per_s=settings.predict_rate_per_s,
        rows_per_s=settings.predict_rows_per_s,
        rows_in_flight=settings.predict_rows_in_flight,
        bytes_in_flight=settings.bytes_in_flight,
    )


def body_limit(settings: Settings, method: str, path: str) -> int:
    """Maximum size of a request's body in bytes: large ones only where they are wanted."""
    if path in PUBLIC_PATHS:
        return min(_PUBLIC_BODY_BYTES, settings.max_body_bytes)
    if method == "POST" and path in UPLOAD_PATHS:
        return settings.max_upload_bytes + _FORM_BYTES
    if method == "POST" and (path in DOCUMENT_PATHS or path.endswith(PATH_ENDINGS)):
        return settings.max_body_bytes
    return min(_SMALL_BODY_BYTES, settings.max_body_bytes)


def _replay(body: bytes | bytearray, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
