"""The Python client's predictions by gRPC, from a real port; and against one that is busy."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pandas as pd
import polars as pl
import pytest

from app.protocols.oip_schema import PUBLIC
from estimator_client import ApiError, AsyncClient, Client, Unreachable
from estimator_client.errors import ClientError
from tests.protocols.conftest import Port

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def client(port: Port) -> Iterator[Client]:
    """Its HTTP goes nowhere: all that is answered came by gRPC."""
    with Client(NOWHERE, "asker", grpc=f"grpc://127.0.0.1:{port.number}", patience_s=0) as made:
        yield made


def test_rows_and_frames_are_predicted_by_version_and_label(client: Client) -> None:
    # version 1: x / 2 + 2; version 2, the label canary: x / 2 + 3
    assert client.predict("half", [{"x": 1}, {"x": 2.0}], batch_size=1) == [2.5, 3.0]
    assert client.predict("half", {"x": np.array([1, 2])}, label="canary") == [3.5, 4.0]
    framed = client.predict_frame("half", pd.DataFrame({"x": [1, 2]}, index=["a", "b"]), version=2)
    assert framed["prediction"].to_dict() == {"a": 3.5, "b": 4.0}
    assert client.predict_frame("half", pl.DataFrame({"x": [1.0]}))["prediction"].to_list() == [2.5]


def test_values_of_every_kind_are_predicted_in_order(client: Client) -> None:
    # total = a + 10 n + 100 sum(v) + 1000 len(s) + 10000 sum(q); a missing `a` is 0.25, a missing `s` is empty
    rows = [
        {"a": None, "n": 1, "v": [0, 0], "s": "x", "q": [1]},
        {"a": 0.5, "n": 2, "v": [1, 1], "s": "yy", "q": [1, 2], "w": ["b"]},
        {"a": 1.0, "n": 0, "v": [0, 0.5], "s": "x", "q": [3, 0, 0], "w": ["b", "", "c"]},
        {"a": 1.0, "n": 0, "v": [0, 0], "s": b"\xff"},
    ]
    found = client.predict("mixed", rows)

    assert [row["total"] for row in found] == [
        0.25 + 10 + 1000 + 10000,
        0.5 + 20 + 200 + 2000 + 30000,
        1 + 50 + 1000 + 30000,
        1 + 1000,
    ]
    assert [row["words"] for row in found] == [0, 1, 3, 0]
    assert [row["text"] for row in found[:3]] == ["x-1", "yy-2", "x-0"]
    # as in JSON: outputs whose name ends so are bytes
    assert [row["raw_bytes"] for row in found[2:]] == [{"b64": "eA=="}, {"b64": "/w=="}]


def test_columns_go_and_come_as_arrays(client: Client) -> None:
    found = client.predict_columns("half", {"x": np.array([1, 2], ">f4")})
    assert (found.tolist(), found.dtype) == ([2.5, 3.0], np.float32)
    columns = {"n": [1, 2], "v": np.ones((2, 2)), "s": ["x", "yy"], "a": [None, None]}
    outputs = client.predict_columns("mixed", columns)
    assert outputs["total"].tolist() == [0.25 + 10 + 200 + 1000, 0.25 + 20 + 200 + 2000]
    assert outputs["text"].tolist() == ["x-1", "yy-2"]


@pytest.mark.parametrize(
    ("model", "row", "status"),
    [("nobody", {"x": 1.0}, 404), ("half", {"x": "one"}, 422), ("half", {"z": 1.0}, 422)],
)
def test_what_is_refused_has_the_status_of_http(client: Client, model: str, row: Any, status: int) -> None:
    with pytest.raises(ApiError) as refused:
        client.predict(model, [row])
    assert refused.value.status == status
    assert refused.value.problem["detail"]


@pytest.mark.parametrize(("token", "status"), [("nobody", 401), ("reader", 403)])
def test_tokens_and_their_scopes_are_those_of_http(port: Port, token: str, status: int) -> None:
    with (
        Client(NOWHERE, token, grpc=f"grpc://127.0.0.1:{port.number}") as client,
        pytest.raises(ApiError) as refused,
    ):
        client.predict("half", [{"x": 1.0}])
    assert refused.value.status == status


def test_a_token_over_its_limit_is_told_when_to_come_again(port: Port, client: Client) -> None:
    account = port.inference.accounts.for_token("tok_1")
    account.rows += 1000  # as many as it may have in flight
    try:
        with pytest.raises(ApiError) as refused:
            client.predict("half", [{"x": 1.0}])
    finally:
        account.rows -= 1000

    assert (refused.value.status, refused.value.retry_after_s) == (429, 1.0)


def test_the_asynchronous_client_does_the_same(port: Port) -> None:
    async def ask() -> list[list[Any]]:
        async with AsyncClient(NOWHERE, "asker", grpc=f"grpc://127.0.0.1:{port.number}") as client:
            return await asyncio.gather(*[client.predict("half", [{"x": value}]) for value in (1.0, 2.0)])

    assert asyncio.run(ask()) == [[2.5], [3.0]]


class Busy(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Refuses calls as its list says, status and trailing metadata each, then answers y = 1."""

    def __init__(self, refusals: list[tuple[grpc.StatusCode, tuple[tuple[str, str], ...]]]) -> None:
        self.refusals = refusals

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._handle)

    def _handle(self, message: bytes, context: Any) -> Any:
        if self.refusals:
            code, trailing = self.refusals.pop(0)
            context.set_trailing_metadata(trailing)
            context.abort(code, "Not now.")
        answer = PUBLIC.message("inference.ModelInferResponse")()
        answer.outputs.add(name="y", datatype="FP32", shape=[1])
        answer.raw_output_contents.append(np.ones(1, "<f4").tobytes())
        return answer.SerializeToString()


SOON = (("retry-after", "0"),)


def asked(refusals: list[Any], *, patience_s: float) -> Any:
    """What a client gets that asks a busy server."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[Busy(refusals)])
        number = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with Client(NOWHERE, "asker", grpc=f"grpc://127.0.0.1:{number}", patience_s=patience_s) as client:
                return client.predict("half", [{"x": 1.0}])
        finally:
            server.stop(None).wait()


def test_a_busy_service_is_asked_again() -> None:
    refusals = [(grpc.StatusCode.UNAVAILABLE, SOON), (grpc.StatusCode.RESOURCE_EXHAUSTED, SOON)]

    assert asked(refusals, patience_s=60) == [1.0]
    assert refusals == []


def test_what_does_not_pass_by_waiting_is_not_repeated() -> None:
    refusals = [(grpc.StatusCode.RESOURCE_EXHAUSTED, ()), (grpc.StatusCode.INTERNAL, ())]  # a message too large

    with pytest.raises(ApiError) as refused:
        asked(refusals, patience_s=60)

    assert (refused.value.status, len(refusals)) == (413, 1)


def test_nobody_there_is_unreachable() -> None:
    with (
        Client(NOWHERE, "x", grpc="grpc://127.0.0.1:9", patience_s=0) as client,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"),
    ):
        client.predict("half", [{"x": 1.0}])


def test_arguments_that_do_not_fit_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("127.0.0.1:8500", "http://127.0.0.1:8500", "grpc://host"):
        with pytest.raises(ValueError, match="grpc://host:port"):
            Client(NOWHERE, "x", grpc=address)
    credentials = grpc.ssl_channel_credentials()
    for address in (None, "grpc://127.0.0.1:8500"):
        with pytest.raises(ValueError, match=r"[Cc]redentials"):
            Client(NOWHERE, "x", grpc=address, grpc_credentials=credentials)
    with pytest.raises(ValueError, match="by HTTP"):
        client.predict("half", [{"x": 1.0}], ignore_unknown=True)
    with pytest.raises(ValueError, match="not both"):
        client.predict("half", [{"x": 1.0}], version=1, label="canary")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClientError, match="pip install grpcio"):
        Client(NOWHERE, "x", grpc="grpc://127.0.0.1:8500")
