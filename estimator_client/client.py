"""The Python client. Made from `async_client.py` by scripts/sync_client.py: change that one.

from estimator_client import Client

with Client("http://127.0.0.1:8000", token) as client:
    dataset = client.upload("penguins.csv")
    job = client.submit({"type": "train", "model": "penguins", …})
    job.wait(bar=True, check=True)
    client.predict("penguins", [{"bill_length_mm": 39.1, …}])
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from estimator_client.dataset_calls import DatasetCalls
from estimator_client.errors import Json
from estimator_client.grpc_calls import GrpcCalls
from estimator_client.job_calls import JobCalls
from estimator_client.model_calls import ModelCalls
from estimator_client.predict_calls import PredictCalls
from estimator_client.request_parts import once
from estimator_client.transport import Transport


class Client(DatasetCalls, JobCalls, ModelCalls, PredictCalls):
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
            self._grpc = GrpcCalls(grpc, token, grpc_credentials, timeout_s=timeout_s, patience_s=patience_s)
        self._transport = Transport(address, token, timeout_s=timeout_s, patience_s=patience_s)

    @property
    def address(self) -> str:
        return self._transport.address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()
        if self._grpc is not None:
            self._grpc.close()

    # tokens and operations

    def whoami(self) -> Json:
        """This client's token, without its secret: id, name, scopes."""
        return self._transport.json("GET", "/v1/whoami")

    def tokens(self) -> list[Json]:
        return list((self._transport.json("GET", "/v1/tokens"))["tokens"])

    def create_token(self, name: str, scopes: list[str]) -> Json:
        """The new token; its secret stands under `token`, in this answer only."""
        body = {"name": name, "scopes": scopes}
        return self._transport.json("POST", "/v1/tokens", repeatable=True, json=body, headers=once(None))

    def revoke_token(self, token_id: str) -> Json:
        return self._transport.json("DELETE", f"/v1/tokens/{token_id}")

    def serving(self) -> list[Json]:
        """Requests, errors, times and batch sizes of each version since the service was started."""
        return list((self._transport.json("GET", "/v1/serving"))["versions"])

    def workers(self) -> list[Json]:
        """The workers that reported themselves, with queues, slots, devices, job and last sign of life."""
        return list((self._transport.json("GET", "/v1/workers"))["workers"])

    def audit(self) -> Iterator[Json]:
        """Who did what, newest first."""
        for entry in self._transport.pages("/v1/audit", "entries"):
            yield entry

    def drain(self, queue: str | None = None) -> Json:
        """Asks running jobs to go back to the queue, all or those of one queue."""
        params = {} if queue is None else {"queue": queue}
        return self._transport.json("POST", "/v1/drain", params=params)

    def ready(self) -> Json:
        """The state of the service's parts. Raises ApiError (503) while it cannot work."""
        return self._transport.json("GET", "/readyz")
