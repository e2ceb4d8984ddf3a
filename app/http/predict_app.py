"""`POST /v1/models/…:predict|:classify|:regress`, in front of FastAPI: plain ASGI, for FastAPI's routing costs three
times what the prediction does. Token, Host, Origin and size were checked outside (`app.http.admission`)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import numpy as np

from app.errors import InvalidInput, ServiceError, TooLarge, UnsupportedMedia
from app.http.access_log import new_request_id, prediction_id_of
from app.http.auth import TokenInfo
from app.http.body import ClientGone
from app.http.rate_limit import Accounts
from app.serving.arrow_answers import ArrowAnswers
from app.serving.arrow_asked import ArrowAsked
from app.serving.arrow_body import MEDIA_TYPE
from app.serving.asked import Answered, Asked, JsonAsked, size_of
from app.serving.decode import Decoded
from app.serving.large_body import INLINE_BYTES, INLINE_UNTYPED_BYTES, LargeBodyReader
from app.serving.notes import with_ids, with_warnings
from app.serving.predictor.response import ResponseEncoder
from app.serving.protocol import Form
from app.serving.service import ServingService
from app.serving.serving_version import ServingVersion
from app.serving.split import Headers
from app.serving.verbs import VERBS
from app.serving.version_queue import PredictionResult, QueueAccount, Reply

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Problem = Callable[[Exception, str], tuple[int, list[tuple[bytes, bytes]], bytes]]

_PATH = re.compile(
    r"/v1/models/(?P<model>[A-Za-z0-9][A-Za-z0-9_.-]{0,99})"
    r"(?:/versions/(?P<version>[0-9]{1,15})|/labels/(?P<label>[A-Za-z0-9][A-Za-z0-9_.-]{0,99}))?"
    rf":(?P<verb>{'|'.join(VERBS)})"
)
_KNOWN_PATHS = 4096


class PredictTarget(msgspec.Struct, frozen=True):
    """What a path names."""

    model: str
    number: int | None
    label: str | None
    verb: str


class ArrowChoice(msgspec.Struct, frozen=True):
    """What of a prediction is in Arrow's stream format.

    Attributes:
        request, answer: which of them.
        signature, ignore_unknown: of a request, for the format itself has no place for them.
    """

    request: bool
    answer: bool
    signature: str = VERBS["predict"].signature
    ignore_unknown: bool = False

    @classmethod
    def of(cls, headers: Headers, query: bytes, verb: str) -> ArrowChoice:
        """Raises InvalidInput, and UnsupportedMedia for a verb that has no such form."""
        request = headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == MEDIA_TYPE
        answer = MEDIA_TYPE in headers.get(b"accept", b"").lower()
        if not request and not answer:
            return NO_ARROW
        if verb != "predict":
            raise UnsupportedMedia("Only :predict takes and gives Arrow's format.")
        if not request:
            return cls(request, answer)
        given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        unknown = given.keys() - {"signature_name", "ignore_unknown"}
        if unknown or given.get("ignore_unknown", "true") not in ("true", "false"):
            raise InvalidInput("The query may have signature_name, and ignore_unknown, which is true or false.")
        signature = given.get("signature_name") or VERBS["predict"].signature
        return cls(request, answer, signature, given.get("ignore_unknown") == "true")


NO_ARROW = ArrowChoice(request=False, answer=False)


class PredictApp:
    """ASGI application that answers predictions and passes every other request on.

    Args:
        app: gets everything that is not a prediction.
        problem: an error and a path as status, headers and body.
        large_bodies: decodes what is too large for the event loop.
        accounts: limits of each token; None: there are none.
        max_body_bytes: a second guard; the admission layer has its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: ServingService,
        problem: Problem,
        *,
        large_bodies: LargeBodyReader | None = None,
        accounts: Accounts | None = None,
        max_body_bytes: int = 32 * 2**20,
    ) -> None:
        self._app = app
        self._service = service
        self._problem = problem
        self._large_bodies = large_bodies or LargeBodyReader()
        self._arrow_answers = ArrowAnswers(self._large_bodies)
        self._accounts = accounts
        self._max_body_bytes = max_body_bytes
        self._targets: dict[str, PredictTarget | None] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        target = self.target(path)
        if target is None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        version: ServingVersion | None = None
        try:
            message = await receive()
            body = message.get("body", b"")
            if message.get("more_body") or message["type"] != "http.request":
                body = await self._rest(message, body, receive)
            given = dict(reversed(scope["headers"]))  # of a doubled one the first
            version = await self._service.wait_until_loadable(target.model, target.number, target.label, given)
            queue = version.queue
            assert queue is not None
            query = scope.get("query_string", b"")
            arrow = ArrowChoice.of(given, query, target.verb)
            ids = b"ids=true" in query.split(b"&")
            if ids and arrow != NO_ARROW:
                raise InvalidInput("Arrow's format has no place for ids: leave out ids=true.")
            asked = self._asked(target.verb, body, arrow)
            request = await self._decode(version, asked, arrow)
            if request.count:
                reply: asyncio.Future[PredictionResult] = asyncio.get_running_loop().create_future()
                account = self._account(scope, request.count)
                self._service.batcher.submit(queue, request, len(body), reply, account)
                result = await reply
            else:
                result = _nothing(version, request)
            outputs = result.body
            if arrow.answer:
                result = result._replace(body=await self._arrow_answers.encode(outputs))
        except ServiceError as error:
            await self._refuse(error, path, version, target, send)
            return
        except ClientGone:
            return
        counters = version.counters(target.number, target.label)
        counters.answered(request.count, time.perf_counter() - started)
        counters.warned(request.warnings)
        prediction_id = prediction_id_of(new_request_id())
        await self._answer(send, version, request, result, prediction_id, arrow, ids=ids)
        if request.count and (counters.mirror is not None or version.wanted.keep is not None):
            answered = Answered(
                asked,
                queue.decoder,
                outputs,
                as_tensors=arrow.answer,
                rows=request.count,
                size=size_of(request, len(body)),
            )
            version.record(counters, prediction_id, answered)

    async def _answer(
        self,
        send: Send,
        version: ServingVersion,
        request: Decoded,
        result: PredictionResult,
        prediction_id: bytes,
        arrow: ArrowChoice,
        *,
        ids: bool,
    ) -> None:
        body = with_warnings(result.body, request.warnings)
        if ids:
            body = with_ids(body, prediction_id, request.count)
        headers = version.head.pairs(result, prediction_id)
        if arrow.answer:
            headers = [(b"content-type", MEDIA_TYPE), *headers[1:]]
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _account(self, scope: Any, rows: int) -> QueueAccount | None:
        """The caller's account, once its prediction is within the limits. Raises Overloaded."""
        token: TokenInfo | None = scope.get("state", {}).get("token")
        if token is None or self._accounts is None:
            return None
        account = self._accounts.for_token(token.id)
        self._accounts.take_prediction(account, rows)
        return account

    def begin(
        self, target: PredictTarget, body: bytes, reply: Reply, token: TokenInfo, headers: Headers | None = None
    ) -> tuple[ServingVersion, int] | None:
        """Queues a prediction that may run at once; its version and number of rows. None when it has to wait for the
        version, or is not valid, or the queue is full: nothing was done then, and `__call__` says what is wrong."""
        version = self._service.get_if_loaded(target.model, target.number, target.label, headers)
        if version is None or (queue := version.queue) is None:
            return None
        size = len(body)
        try:
            request = queue.decoder.decode_typed(target.verb, body)
            if request is None and size <= INLINE_UNTYPED_BYTES:
                request = queue.decoder.decode_carefully(target.verb, body)
            if request is not None and (count := request.count) and request.warnings is None:
                account = None if self._accounts is None else self._accounts.for_prediction(token.id, count, size)
                self._service.batcher.submit(queue, request, size, reply, account, charged=size)
                return version, count
        except ServiceError:
            pass
        self._service.models.put_back(target.model, target.label)
        return None

    def _asked(self, verb: str, body: bytes, arrow: ArrowChoice) -> Asked:
        if arrow.request:
            return ArrowAsked(self._large_bodies, body, arrow.signature, ignore_unknown=arrow.ignore_unknown)
        return JsonAsked(verb, body)

    async def _decode(self, version: ServingVersion, asked: Asked, arrow: ArrowChoice) -> Decoded:
        """The request, in the form that its answer is to have.

        Raises what `Decoder.decode` and `decode_arrow` raise.
        """
        if isinstance(asked, JsonAsked):
            request = await self._decode_json(version, asked.verb, asked.body)
        else:
            request = await asked.decode_for(version)
        if arrow.answer and request.warnings is not None:
            raise InvalidInput.at("/warnings", "An answer in Arrow's format has no place for warnings.")
        form = Form.TENSORS if arrow.answer else Form.ROW if arrow.request else request.form
        return request if form == request.form else msgspec.structs.replace(request, form=form)

    async def _decode_json(self, version: ServingVersion, verb: str, body: bytes) -> Decoded:
        """Small bodies here, large ones in their own process. Raises what `Decoder.decode` raises."""
        assert version.queue is not None
        decoder = version.queue.decoder
        if len(body) <= INLINE_UNTYPED_BYTES:
            return decoder.decode(verb, body)
        request = decoder.decode_typed(verb, body) if len(body) <= INLINE_BYTES else None
        if request is not None:
            return request
        wanted = version.wanted
        return await self._large_bodies.decode(wanted.path, wanted.digest, verb, body, max_rows=decoder.max_rows)

    def target(self, path: str) -> PredictTarget | None:
        """What a path names; None when it is no prediction's."""
        known = self._targets.get(path)
        if known is not None:
            return known
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        number = found["version"]
        target = PredictTarget(found["model"], None if number is None else int(number), found["label"], found["verb"])
        if len(self._targets) >= _KNOWN_PATHS:
            self._targets.clear()
        self._targets[path] = target
        return target

    async def _rest(self, message: Message, body: bytes, receive: Receive) -> bytes:
        parts = [body]
        size = len(body)
        while True:
            if message["type"] != "http.request":
                raise ClientGone
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body_bytes:
                raise TooLarge(f"The body is over the limit of {self._max_body_bytes} bytes.")

    async def _refuse(
        self, error: ServiceError, path: str, version: ServingVersion | None, target: PredictTarget, send: Send
    ) -> None:
        status, headers, body = self._problem(error, path)
        if version is not None:
            version.counters(target.number, target.label).failed(status)
            headers = version.head.pairs_of_error(headers)
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _nothing(version: ServingVersion, request: Decoded) -> PredictionResult:
    """The answer to a request without instances; the model is not asked."""
    assert version.export is not None
    names = [output.name for output in version.export.signatures[request.signature].outputs]
    body = ResponseEncoder(names).encode([np.empty((0,))] * len(names), [0], [request.form])[0]
    return PredictionResult(body, 0, 0, 0)
