"""The outermost layer of the API: plain ASGI, for FastAPI's routes and for predictions alike.

Steps in order: Host and Origin (`check_source`), token, scope and rate (`authenticate`), body (`read_body`), the
application, one line in the log (`access_log`). The application finds a `TokenInfo` in `scope["state"]["token"]`, a
string in `scope["state"]["request_id"]`, and the whole body, inflated, in the first `http.request` message; uploads are
streamed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from app.config import Settings
from app.errors import InvalidInput, ServiceError
from app.http.access_log import AccessLog, new_request_id, shown_path
from app.http.auth import TokenInfo, is_public
from app.http.authenticate import Authenticate, Refused, TokenCheck
from app.http.body import ClientGone, Receive
from app.http.check_source import SourceCheck
from app.http.outgoing_response import OutgoingResponse, Send
from app.http.rate_limit import Account, Accounts, TokenLimits
from app.http.read_body import BytesInFlight, bounded_body, is_upload, replay
from app.http.request_metrics import Traffic

Scope = dict[str, Any]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")
_READ = frozenset({b"host", b"origin", b"authorization", b"content-length", b"content-encoding", b"transfer-encoding",
                   b"x-request-id", b"access-control-request-method"})  # fmt: skip

log = structlog.get_logger("app.access")


class AdmissionMiddleware:
    """Checks of host, origin, token, rate and body size of each request, and the access log.

    Args:
        app: the application behind it.
        authenticate: a secret's `TokenInfo`, None if it is unknown or revoked.
        refused: called with (token or None, method, path, reason) for each 401 and 403; writes the audit.
        traffic: counts of requests, for /metrics.
        accounts: use of the service by each token, shared with the predict path.
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
        self.settings = settings
        self.source = SourceCheck(settings)
        self.tokens = TokenCheck(authenticate, accounts or Accounts(token_limits(settings)), refused)
        self.access_log = AccessLog(traffic or Traffic())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _Exchange(self, scope, receive, send).run()
        else:  # there are no websockets here
            await receive()
            await send({"type": "websocket.close", "code": 1008})


class _Exchange:
    """One request and its response."""

    def __init__(self, admission: AdmissionMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self.steps = admission
        self.scope = scope
        self.receive = receive
        self.response = OutgoingResponse(receive, send)
        self.started = time.perf_counter()
        self.token: TokenInfo | None = None
        self.in_flight: BytesInFlight | None = None
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = {}

    async def run(self) -> None:
        response = self.response
        try:
            self._read_headers()
            preflight = self.steps.source.preflight(self.method, self.headers)
            if preflight is not None:
                response.headers += preflight
                await response.send_empty(204)
                return
            response.headers += self.steps.source.check(self.headers)
            account = await self._authenticate()
            self.in_flight = BytesInFlight(self.steps.tokens.accounts, account)
            await self.steps.app(self.scope, await self._read_body(self.in_flight), response.send)
        except ClientGone:
            response.status = response.status or 499
        except ServiceError as error:
            await response.refuse(error, self.path)
        except Exception as error:
            await response.refuse(error, self.path)
            log.error("request failed", request_id=self._request_id, path=shown_path(self.path), exc_info=error)
        finally:
            if self.in_flight is not None:
                self.in_flight.release()
            self._record()

    @property
    def _request_id(self) -> str:
        return str(self.scope["state"].get("request_id", ""))

    def _read_headers(self) -> None:
        """Raises InvalidInput: a header that decides something is there twice."""
        state = self.scope.setdefault("state", {})
        found = self.headers
        doubled = False
        for name, value in self.scope["headers"]:
            if name in _READ:
                doubled = doubled or name in found
                found[name] = value
        given = found.get(b"x-request-id", b"")
        request_id = given if given and _REQUEST_ID.match(given) else new_request_id()
        state["request_id"] = request_id.decode()
        self.response.headers.append((b"x-request-id", request_id))
        self.response.body_pending = b"transfer-encoding" in found or found.get(b"content-length", b"0") != b"0"
        if doubled:
            raise InvalidInput("A header that may stand once only is there twice.")

    async def _authenticate(self) -> Account:
        """The account of the request's token; on public paths, which need no token, an account of its own."""
        if is_public(self.path) and self.method in {"GET", "HEAD"}:
            return Account()
        tokens = self.steps.tokens
        self.token = await tokens.authenticate(self.method, self.path, self.headers)
        self.scope["state"]["token"] = self.token
        return tokens.authorize(self.token, self.method, self.path)

    async def _read_body(self, in_flight: BytesInFlight) -> Receive:
        """The `receive` for the application: the whole body in memory, unless it is an upload."""
        if not self.response.body_pending:
            return self.receive
        body = bounded_body(self.steps.settings, self.scope, self.headers, self.receive, in_flight)
        if is_upload(self.method, self.path):
            self.response.upload = body
            return body
        whole = await body.whole()
        self.response.body_pending = False
        return replay(whole, self.receive)

    def _record(self) -> None:
        self.steps.access_log.record(
            self.method,
            self.path,
            self.response.status,
            time.perf_counter() - self.started,
            request_id=self._request_id,
            token=self.token,
            route=getattr(self.scope.get("route"), "path", "none"),
        )


def token_limits(settings: Settings) -> TokenLimits:
    """Limits of each token, from the settings."""
    return TokenLimits(
        requests_per_s=settings.rate_per_s,
        requests_burst=settings.rate_burst,
        predictions_per_s=settings.predict_rate_per_s,
        rows_per_s=settings.predict_rows_per_s,
        rows_in_flight=settings.predict_rows_in_flight,
        bytes_in_flight=settings.bytes_in_flight,
    )
