"""Predictions by gRPC. Made from `async_grpc_calls.py` by scripts/sync_client.py: change that one."""

from __future__ import annotations

import importlib.util
import threading
import time
from typing import Any

from estimator_client import infer_messages
from estimator_client.errors import ClientError, Json
from estimator_client.infer_messages import Refusal
from estimator_client.retry import Attempts

_INFER = "/inference.GRPCInferenceService/ModelInfer"


class GrpcCalls:
    """Calls of the Open Inference Protocol's `ModelInfer` at the service's gRPC port.

    Args:
        address: `grpc://host:port`, or `grpcs://host:port` with TLS.
        token: its secret.
        credentials: of `grpc.ssl_channel_credentials`; None: the authorities that gRPC knows.
        timeout_s: seconds after which a call is given up.
        patience_s: seconds during which a call is tried again that the service could not take or did not answer.

    Raises ClientError where grpcio or NumPy is not installed, ValueError for an address of another form.
    """

    def __init__(self, address: str, token: str, credentials: Any, *, timeout_s: float, patience_s: float) -> None:
        scheme, _, self._place = address.rstrip("/").partition("://")
        if scheme not in ("grpc", "grpcs") or ":" not in self._place:
            raise ValueError(f"A gRPC address is grpc://host:port, or grpcs://host:port with TLS, not {address!r}.")
        if credentials is not None and scheme == "grpc":
            raise ValueError("Credentials are of TLS, which an address with grpcs:// has.")
        if None in (importlib.util.find_spec("grpc"), importlib.util.find_spec("numpy")):
            raise ClientError("gRPC needs grpcio and NumPy: pip install grpcio numpy. HTTP needs neither.")
        self._is_secure, self._credentials = scheme == "grpcs", credentials
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._lock = threading.Lock()
        self._channel: Any = None

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()

    def infer(self, model: str, version: str, inputs: Json, *, key: str | None = None) -> Json:
        """Outputs by name, as NumPy arrays.

        Args:
            version: a number, a label, or nothing: the label `latest`.
            inputs: arrays by feature, the batch first; of objects for bytes.
            key: the same key gets the same version of a label that divides its requests.

        Raises ApiError and Unreachable.
        """
        import grpc

        message = infer_messages.encode_request(model, version, inputs)
        metadata = (*self._metadata, *(() if key is None else (("x-request-key", key),)))
        attempts = Attempts(self._patience_s, repeatable=True)
        while True:
            try:
                call = self._opened().unary_unary(_INFER)
                return infer_messages.decode_outputs(call(message, metadata=metadata, timeout=self._timeout_s))
            except grpc.RpcError as error:
                refusal = Refusal.of(error)
                wait = attempts.wait_after(refusal.status, refusal.retry_after)
                if wait is None:
                    raise refusal.exception(self._place) from error
            time.sleep(wait)

    def _opened(self) -> Any:
        """The channel; opened by the first call, because an asynchronous one belongs to the loop that runs then."""
        import grpc

        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with self._lock:
            if self._channel is None and self._is_secure:
                credentials = self._credentials or grpc.ssl_channel_credentials()
                self._channel = grpc.secure_channel(self._place, credentials, options=options)
            elif self._channel is None:
                self._channel = grpc.insecure_channel(self._place, options=options)
            return self._channel
