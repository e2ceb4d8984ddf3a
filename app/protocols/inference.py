"""A call of a model in any protocol: the version that it means, its rows into the batches, its outputs back.

What JSON's predictions are held to holds here: token and scope, the token's limits, the queue's, the deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import InvalidInput, ServiceError, Unauthenticated
from app.http.access_log import new_request_id, prediction_id_of
from app.http.auth import Authenticator, TokenInfo, check_scope
from app.http.problems import status_of
from app.http.rate_limit import Accounts
from app.serving.decode import Decoded, Decoder
from app.serving.service import ServingService
from app.serving.split import Headers
from app.serving.tensors import Tensor, decode_outputs
from app.serving.version_queue import PredictionResult
from app.serving.versions import ServingVersion


@dataclass(frozen=True)
class Caller:
    """Who calls, with how much, and until when the answer is of use.

    Attributes:
        size: bytes of the message.
        charged: of these, what the token is charged with until the answer; 0 where HTTP's admission did that.
        deadline: on `time.perf_counter`.
        headers: the call's metadata, which may say to which version of a divided label it belongs.
    """

    token: TokenInfo
    size: int
    charged: int
    deadline: float
    headers: Headers


@dataclass(frozen=True)
class ModelChoice:
    """The model that a call names, with a version or a label or neither."""

    model: str
    number: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Outputs:
    """What a version answered: all its outputs, the batch first."""

    version: ServingVersion
    tensors: dict[str, Tensor]
    result: PredictionResult

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What HTTP tells of it: which version answered, and how."""
        return self.version.head.pairs(self.result, prediction_id_of(new_request_id()))


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

    async def run(self, caller: Caller, choice: ModelChoice, decode: Callable[[Decoder], Decoded]) -> Outputs:
        """Waits until the version can be asked, decodes the rows for it, and waits for their outputs.

        Raises ServiceError.
        """
        started = time.perf_counter()
        version: ServingVersion | None = None
        try:
            version = await self.service.wait_until_loadable(choice.model, choice.number, choice.label, caller.headers)
            assert version.queue is not None
            request = decode(version.queue.decoder)
            if not request.count:
                raise InvalidInput("The request has no rows.")
            account = self.accounts.for_token(caller.token.id)
            self.accounts.check_bytes(account, caller.charged)
            self.accounts.take_prediction(account, request.count)
            reply: asyncio.Future[PredictionResult] = asyncio.get_running_loop().create_future()
            self.service.batcher.submit(
                version.queue,
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
            if version is not None:
                version.counters(choice.number, choice.label).failed(status_of(error))
            raise
        version.counters(choice.number, choice.label).answered(request.count, time.perf_counter() - started)
        return Outputs(version, decode_outputs(result.body), result)
