"""A call of a model in any protocol: the version that it means, its rows into the batches, its outputs back.

What JSON's predictions are held to holds here: token and scope, the token's limits, the queue's, the deadline.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import NamedTuple

from app.errors import InvalidInput, ServiceError, Unauthenticated
from app.http.access_log import new_prediction_id
from app.http.auth import Authenticator, TokenInfo, check_scope
from app.http.problems import status_of
from app.http.rate_limit import Accounts
from app.protocols.large_messages import LargeMessages
from app.serving.asked import Answered, AskedHere, size_of
from app.serving.metrics import CLIENT_LEFT
from app.serving.service import ServingService
from app.serving.serving_version import ServingVersion
from app.serving.split import Headers
from app.serving.tensors import Tensor, decode_outputs
from app.serving.version_queue import PredictionResult


class Caller(NamedTuple):
    """Who calls, with how much, and until when the answer is of use.

    Attributes:
        size: bytes of the message.
        charged: of these, what the token is charged with until the answer; 0 where HTTP's admission did that.
        deadline: on `time.perf_counter`.
        headers: the call's metadata, which may say to which version of a divided label it belongs.
        dear: reading the message takes too long for the event loop.
    """

    token: TokenInfo
    size: int
    charged: int
    deadline: float
    headers: Headers
    dear: bool = False


class ModelChoice(NamedTuple):
    """The model that a call names, with a version or a label or neither."""

    model: str
    number: int | None = None
    label: str | None = None


class Outputs(NamedTuple):
    """What a version answered: all its outputs, the batch first."""

    version: ServingVersion
    tensors: dict[str, Tensor]
    result: PredictionResult
    prediction_id: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What HTTP tells of it: which version answered, and how."""
        return self.version.head.pairs(self.result, self.prediction_id)


class Inference:
    """The way of calls to the batcher.

    Args:
        accounts: what each token uses, shared with the predictions in JSON.
        max_message_bytes: of a message, and of each tensor that it unfolds to.
    """

    def __init__(
        self, service: ServingService, authenticate: Authenticator, accounts: Accounts, *, max_message_bytes: int
    ) -> None:
        self.service = service
        self.max_message_bytes = max_message_bytes
        self._authenticate = authenticate
        self.accounts = accounts
        self.large = LargeMessages(accounts)

    async def admit(self, authorization: str, scope: str) -> TokenInfo:
        """The token of an `authorization` value, once it may do that. Raises Unauthenticated and Forbidden."""
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("Send `authorization: Bearer TOKEN` in the call's metadata.")
        token = await self._authenticate(secret.strip())
        if token is None:
            raise Unauthenticated("The token is unknown or was revoked.")
        check_scope(token, scope)
        return token

    def remembered(self, digest: bytes, scope: str) -> TokenInfo | None:
        """The token whose secret has this digest, if it may do that and nobody has to be asked."""
        token = self._authenticate.remembered(digest)
        return token if token is not None and (scope in token.scopes or "admin" in token.scopes) else None

    def count_request(self, token: TokenInfo) -> None:
        """Counts a call that is no prediction. Raises Overloaded."""
        self.accounts.take_request(self.accounts.for_token(token.id))

    async def find(self, caller: Caller, choice: ModelChoice) -> ServingVersion:
        """The version that answers, as soon as it can be asked; of a divided label the one that is the caller's.

        Raises ServiceError.
        """
        return await self.service.wait_until_loadable(choice.model, choice.number, choice.label, caller.headers)

    async def run(
        self, caller: Caller, choice: ModelChoice, asked: AskedHere, version: ServingVersion | None = None
    ) -> Outputs:
        """Decodes the rows for a version, and waits for their outputs.

        Args:
            version: what `find` said; None: it is to be found.

        Raises ServiceError.
        """
        started = time.perf_counter()
        if version is None:
            version = await self.service.wait_until_loadable(choice.model, choice.number, choice.label, caller.headers)
        counters = version.counters(choice.number, choice.label)
        queue = version.queue
        assert queue is not None
        try:
            if caller.dear:
                request = await self.large.read(caller.token, caller.charged, partial(asked.decode, queue.decoder))
            else:
                request = asked.decode(queue.decoder)
            if not request.count:
                raise InvalidInput("The request has no rows.")
            account = self.accounts.for_token(caller.token.id)
            self.accounts.check_bytes(account, caller.charged)
            self.accounts.take_prediction(account, request.count)
            reply: asyncio.Future[PredictionResult] = asyncio.get_running_loop().create_future()
            self.service.batcher.submit(
                queue,
                request,
                caller.size,
                reply,
                account,
                charged=caller.charged,
                deadline=caller.deadline,
                gather=True,
            )
            result = await reply
        except ServiceError as error:
            counters.failed(status_of(error))
            raise
        except asyncio.CancelledError:
            counters.failed(CLIENT_LEFT)
            raise
        counters.answered(request.count, time.perf_counter() - started)
        prediction_id = new_prediction_id()
        if counters.mirror is not None or version.wanted.keep is not None:
            size = size_of(request, caller.size)
            answered = Answered(asked, queue.decoder, result.body, as_tensors=True, rows=request.count, size=size)
            version.record(counters, prediction_id, answered)
        return Outputs(version, decode_outputs(result.body), result, prediction_id)
