"""The fast path of a prediction: from the connection's bytes to the batcher and back, without an ASGI task.

It takes only what is certainly in order, and does nothing to a request that it does not take: those go through the
gate, which words the refusals. The head of a request is checked once; a client sends the same one again and again, and
whatever is equal byte for byte has the same host, path, token and length. What can change meanwhile is asked each time:
whether the token still holds, and whether the version is loaded.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from app.errors import Forbidden, Overloaded, ServiceError
from app.http.access_log import new_ids
from app.http.admission import AdmissionMiddleware
from app.http.auth import TokenInfo, check_scope
from app.http.partial_request import PartialRequest
from app.http.predict_app import PredictApp, PredictTarget
from app.http.problems import Misdirected, problem
from app.http.read_body import BytesInFlight
from app.serving.asked import Answered, JsonAsked
from app.serving.large_body import INLINE_BYTES
from app.serving.metrics import CLIENT_LEFT, VersionMetrics
from app.serving.response_head import lines
from app.serving.serving_version import ServingVersion
from app.serving.split import KEY_HEADER, Arm, Headers
from app.serving.verbs import PATH_ENDINGS, VERBS
from app.serving.version_queue import PredictionResult

Remembered = Callable[[bytes], TokenInfo | None]

_KEY = KEY_HEADER.encode()
_ARROW = b"apache.arrow"
_PLAIN = frozenset({b"host", b"authorization", b"content-length", b"content-type", b"user-agent", b"accept",
                    b"accept-encoding", b"accept-language", b"connection", _KEY})  # fmt: skip
_MOST_HEADS, _LONGEST_HEAD = 4096, 4096
_VERBS = tuple(verb.encode() for verb in PATH_ENDINGS)


class Plan(NamedTuple):
    """What a head says.

    Attributes:
        token: digest of its secret.
        length: of the body, bytes.
        headers: that may say to which version of a divided label the request belongs.
    """

    path: str
    target: PredictTarget
    token: bytes
    length: int
    headers: Headers | None


class FastPath:
    """Predictions answered without an HTTP parser or an ASGI task, for request heads that were admitted before.

    Args:
        remembered: the token with a digest, as long as the registry need not be asked about it.
        max_body_bytes: longer bodies go the usual way, to be refused.
    """

    def __init__(
        self, admission: AdmissionMiddleware, front: PredictApp, remembered: Remembered, *, max_body_bytes: int
    ) -> None:
        self.admission = admission
        self._predict_app = front
        self._remembered = remembered
        self._max_body_bytes = max_body_bytes
        self._plans: dict[bytes, Plan] = {}
        self.good = admission.access_log.traffic.series("POST", "predict", 200)
        self._general_of: list[tuple[bytes, bytes]] | None = None
        self._general = b""

    def take(self, connection: Any, data: bytes) -> Exchange | PartialRequest | None:
        """Begins the prediction that `data` asks for; None when it is none with a known head.

        A `PartialRequest` when the head is known and the body not whole: what it gives in the end is to be taken again.
        """
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        last = connection.last_head
        if last is not None and data.startswith(last[0]):  # it ends as a head does, and has no such end before
            plan = last[1]
        else:
            head = data[:end]
            plan = self._plans.get(_digest(head))
            if plan is None:
                return None
            connection.last_head = head, plan
        missing = plan.length - (len(data) - end)
        if missing:
            return self._wait(plan, missing)
        token = self._remembered(plan.token)
        if token is None:
            return None
        exchange = self._begin(connection, plan.path, token)
        target, body = plan.target, data[end:]
        found = self._predict_app.begin(target, body, exchange, token, plan.headers)
        if found is None:
            return None
        exchange.version, exchange.rows = version, _ = found
        exchange.counters = version.counters(target.number, target.label) if version.arms else version.metrics
        if exchange.counters.mirror is not None or version.wanted.keep is not None:
            exchange.asked = target.verb, body
        return exchange

    def general_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The server's own headers, of which it makes another list whenever one of them changes."""
        if headers is not self._general_of:
            self._general_of, self._general = headers, lines(headers)
        return self._general

    def remember(self, head: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Keeps what the head of a request means, when it is one for the fast path."""
        if len(head) > _LONGEST_HEAD or head.count(b"\n") != head.count(b"\r\n") or not url.endswith(_VERBS):
            return
        plan = self._plan(url, headers)
        if plan is None:
            return
        if len(self._plans) >= _MOST_HEADS:
            self._plans.clear()
        self._plans[_digest(head)] = plan

    def _wait(self, plan: Plan, missing: int) -> PartialRequest | None:
        """None for a body that another process is to decode, or when something else came behind it."""
        if missing < 0 or plan.length > INLINE_BYTES or (token := self._remembered(plan.token)) is None:
            return None
        accounts = self.admission.tokens.accounts
        try:
            in_flight = BytesInFlight(accounts, accounts.for_token(token.id))
            return PartialRequest(plan.length - missing, missing, in_flight)
        except Overloaded:
            return None

    def _begin(self, connection: Any, path: str, token: TokenInfo) -> Exchange:
        return Exchange(self, connection, path, token)

    def _plan(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> Plan | None:
        found = dict(headers)
        if any(_ARROW in found.get(name, b"").lower() for name in (b"content-type", b"accept")):
            return None
        if len(found) < len(headers) or not _PLAIN.issuperset(found):
            return None
        path = url.decode("latin-1")
        target = self._predict_app.target(path)  # None for any with % or ?
        scheme, _, secret = found.get(b"authorization", b"").partition(b" ")
        length = found.get(b"content-length", b"")
        if target is None or scheme.lower() != b"bearer" or not length.isdigit() or len(length) > 15:
            return None
        token = hashlib.sha256(secret.strip()).digest()
        known = self._remembered(token)
        try:
            self.admission.source.check_host(found.get(b"host", b""))
            if known is None or int(length) > self._max_body_bytes:
                return None
            check_scope(known, VERBS[target.verb].scope)
        except (Misdirected, Forbidden):
            return None
        deciding = {_KEY: found[_KEY]} if _KEY in found else None
        return Plan(path, target, token, int(length), deciding)


class Exchange:
    """One prediction on the fast path: the batcher's `Reply`, and for uvicorn the connection's cycle."""

    __slots__ = (
        "_connection",
        "_fast_path",
        "_path",
        "_started",
        "_token",
        "asked",
        "counters",
        "disconnected",
        "keep_alive",
        "response_complete",
        "rows",
        "version",
    )  # fmt: skip

    message_event = property(lambda self: self)

    def __init__(self, fast_path: FastPath, connection: Any, path: str, token: TokenInfo) -> None:
        self._fast_path = fast_path
        self._connection = connection
        self._path = path
        self._token = token
        self._started = time.perf_counter()
        self.version: ServingVersion
        self.counters: VersionMetrics | Arm
        self.asked: tuple[str, bytes] | None = None
        self.rows = 0
        self.disconnected = False  # uvicorn says so
        self.keep_alive = True
        self.response_complete = False

    def set(self) -> None:
        """The client left, perhaps because it would wait no longer. There is no task to wake; `done` sees it."""
        if self.disconnected and not self.response_complete:
            self.response_complete = True
            self.counters.failed(CLIENT_LEFT)

    def done(self) -> bool:
        return self.response_complete or self.disconnected

    def set_result(self, result: PredictionResult) -> None:
        request_id, prediction_id = new_ids()
        self._answer(200, self.version.head.lines(result, prediction_id), request_id, result.body)
        took = time.perf_counter() - self._started
        self.counters.answered(self.rows, took)
        self._fast_path.good.add(took)
        if self.asked is not None:
            self._record(self.asked, prediction_id, result.body)

    def _record(self, asked: tuple[str, bytes], prediction_id: bytes, answer: bytes) -> None:
        """For a shadow, and to be kept."""
        assert self.version.queue is not None
        decoder, size = self.version.queue.decoder, len(asked[1])
        answered = Answered(JsonAsked(*asked), decoder, answer, as_tensors=False, rows=self.rows, size=size)
        self.version.record(self.counters, prediction_id, answered)

    def set_exception(self, error: ServiceError) -> None:
        status, headers, body = problem(error, self._path)
        self.counters.failed(status)
        head = lines(self.version.head.pairs_of_error(headers))
        request_id, _ = new_ids()
        self._answer(status, head, request_id, body)
        took = time.perf_counter() - self._started
        log = self._fast_path.admission.access_log
        log.record("POST", self._path, status, took, request_id=request_id.decode(), token=self._token)

    def _answer(self, status: int, headers: bytes, request_id: bytes, body: bytes) -> None:
        self.response_complete = True
        connection = self._connection
        if connection.transport.is_closing():
            return
        general = self._fast_path.general_lines(connection.server_state.default_headers)
        connection.transport.write(
            b"%b%b%bx-content-type-options: nosniff\r\nx-request-id: %b\r\ncontent-length: %d\r\n%b\r\n%b"
            % (
                _STATUS_LINES[status], general, headers, request_id, len(body),
                b"" if self.keep_alive else b"connection: close\r\n", body,
            )
        )  # fmt: skip
        connection.answered(self)


def _digest(head: bytes) -> bytes:
    """Stands for a head in memory, so that no secret does."""
    return hashlib.blake2b(head, digest_size=16).digest()


_STATUS_LINES = {int(status): b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
