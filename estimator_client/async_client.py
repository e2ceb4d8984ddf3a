"""The asynchronous Python client. `client.py` is made from this file by `scripts/sync_client.py`.

from estimator_client import AsyncClient

async with AsyncClient("http://127.0.0.1:8000", token) as client:
    dataset = await client.upload("penguins.csv")
    job = await client.submit({"type": "train", "model": "penguins", …})
    await job.wait(bar=True, check=True)
    await client.predict("penguins", [{"bill_length_mm": 39.1, …}])
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self

from estimator_client.async_dataset_calls import AsyncDatasetCalls
from estimator_client.async_grpc_calls import AsyncGrpcCalls
from estimator_client.async_job_calls import AsyncJobCalls
from estimator_client.async_model_calls import AsyncModelCalls
from estimator_client.async_predict_calls import AsyncPredictCalls
from estimator_client.async_transport import AsyncTransport
from estimator_client.errors import Json
from estimator_client.request_parts import once


class AsyncClient(AsyncDatasetCalls, AsyncJobCalls, AsyncModelCalls, AsyncPredictCalls):
    """All that the service does, for people who write Python.

    Args:
        address: of the service, for example http://127.0.0.1:8000.
        token: its secret, with the scopes that the calls need.
        timeout_s: seconds without any byte after which a request is given up; uploads have no limit.
        patience_s: seconds during which a request is tried again that the service could not take (429 and 503, after
            the time that `Retry-After` says), or that got no answer and may be repeated. Uploads, submitted jobs and
            new tokens carry an idempotency key, so that nothing is done twice.
        grpc: where the service's gRPC port is, `grpc://host:port` or with TLS `grpcs://host:port`: predictions go there
            instead, everything else to `address`. Needs grpcio and NumPy.
        grpc_credentials: of `grpc.ssl_channel_credentials`, for `grpcs` with an authority or certificate of one's own.

    Every method raises ApiError when the service refuses and Unreachable when no answer comes.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 30.0,
        grpc: str | None = None,
        grpc_credentials: Any = None,
    ) -> None:
        if grpc is None and grpc_credentials is not None:
            raise ValueError("grpc_credentials are for the address that `grpc` names; it is missing.")
        self._grpc = None
        if grpc is not None:
            self._grpc = AsyncGrpcCalls(grpc, token, grpc_credentials, timeout_s=timeout_s, patience_s=patience_s)
        self._transport = AsyncTransport(address, token, timeout_s=timeout_s, patience_s=patience_s)

    @property
    def address(self) -> str:
        return self._transport.address

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()
        if self._grpc is not None:
            await self._grpc.aclose()

    # tokens and operations

    async def whoami(self) -> Json:
        """This client's token, without its secret: id, name, scopes."""
        return await self._transport.json("GET", "/v1/whoami")

    async def tokens(self) -> list[Json]:
        return list((await self._transport.json("GET", "/v1/tokens"))["tokens"])

    async def create_token(self, name: str, scopes: list[str]) -> Json:
        """The new token; its secret stands under `token`, in this answer only."""
        body = {"name": name, "scopes": scopes}
        return await self._transport.json("POST", "/v1/tokens", repeatable=True, json=body, headers=once(None))

    async def revoke_token(self, token_id: str) -> Json:
        return await self._transport.json("DELETE", f"/v1/tokens/{token_id}")

    async def serving(self) -> list[Json]:
        """Requests, errors, times and batch sizes of each version since the service was started."""
        return list((await self._transport.json("GET", "/v1/serving"))["versions"])

    async def workers(self) -> list[Json]:
        """The workers that reported themselves, with queues, slots, devices, job and last sign of life."""
        return list((await self._transport.json("GET", "/v1/workers"))["workers"])

    async def audit(self) -> AsyncIterator[Json]:
        """Who did what, newest first."""
        async for entry in self._transport.pages("/v1/audit", "entries"):
            yield entry

    async def drain(self, queue: str | None = None) -> Json:
        """Asks running jobs to go back to the queue, all or those of one queue."""
        params = {} if queue is None else {"queue": queue}
        return await self._transport.json("POST", "/v1/drain", params=params)

    async def ready(self) -> Json:
        """The state of the service's parts. Raises ApiError (503) while it cannot work."""
        return await self._transport.json("GET", "/readyz")
