"""Messages of many small parts: counted before they are parsed, and read beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from app.errors import Overloaded
from app.http.auth import TokenInfo
from app.http.rate_limit import Accounts, TokenLimits
from app.protocols import oip_schema, rpc_methods
from app.protocols.elements import MOST_ELEMENTS, count_elements, fields_of
from app.protocols.large_messages import LargeMessages
from app.protocols.tfs_schema import WIRE
from tests.protocols.conftest import MESSAGE_BYTES, Port
from tests.protocols.test_tensorflow_serving import PREDICT, floats, predict_request
from tests.waiting import until

INFER = "/inference.GRPCInferenceService/ModelInfer"
_predict = fields_of(WIRE.message("tensorflow.serving.PredictRequest").DESCRIPTOR)
_infer = fields_of(oip_schema.PUBLIC.message("inference.ModelInferRequest").DESCRIPTOR)


def infer_request(**more: Any) -> Any:
    request = oip_schema.PUBLIC.message("inference.ModelInferRequest")(model_name="half", **more)
    given = request.inputs.add(name="x", datatype="FP32", shape=[2])
    given.contents.fp32_contents.extend([1.0, 2.0])
    return request


def test_fields_and_packed_numbers_are_counted() -> None:
    request = predict_request(x=floats(1.0, 2.0)).SerializeToString()
    few = count_elements(request, _predict, 1000)
    assert few < 20
    assert count_elements(request + b"\x1a\0" * 50, _predict, 1000) == few + 50  # names of outputs
    assert count_elements(request + b"\x78\1" * 50, _predict, 1000) == few + 50  # no such field
    packed = b"\x12\x3a\x12\x38\x52\x36" + b"\1" * 50 + b"\x80\x80\x80\1"  # int64_val of one input
    assert count_elements(packed, _predict, 1000) == 3 + 51
    assert count_elements(infer_request().SerializeToString(), _infer, 1000) > 7
    assert count_elements(request + b"\x1a\0" * 5000, _predict, 1000) == 1001
    for cut in range(len(request)):
        assert count_elements(request[:cut], _predict, 1000) <= few


def test_dear_messages_are_read_by_a_thread_and_plain_ones_are_not(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    real = rpc_methods.count_elements

    def counted(message: bytes, fields: Any, most: int) -> int:
        if most == MOST_ELEMENTS:
            threads.append(threading.current_thread().name)
        return real(message, fields, most)

    monkeypatch.setattr(rpc_methods, "count_elements", counted)
    large = predict_request(x=floats(*[1.0] * 40_000))
    port.call(PREDICT, large, "PredictResponse")
    assert threads == []
    message = predict_request(x=floats(1.0)).SerializeToString() + b"\x1a\0" * 100_000
    with pytest.raises(Exception, match="output tensor alias not found"):
        port.raw(f"/tensorflow.serving.{PREDICT}", message)
    assert [name.rpartition("_")[0] for name in threads] == ["large-message"]


def test_messages_of_too_many_values_are_too_large(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_methods, "MOST_ELEMENTS", 50_000)
    message = predict_request(x=floats(1.0)).SerializeToString()
    with pytest.raises(Exception, match="more than 50000 values"):
        port.raw(f"/tensorflow.serving.{PREDICT}", message + b"\x1a\0" * (MESSAGE_BYTES // 4))
    with pytest.raises(Exception, match="more than 50000 values"):
        port.raw(INFER, infer_request().SerializeToString() + b"\x32\0" * (MESSAGE_BYTES // 4))


def test_outputs_are_not_repeated(port: Port) -> None:
    for outputs, words in ((["y", "y"], "twice"), (["y"] * 2000, "more than 1000")):
        request = infer_request(outputs=[{"name": name} for name in outputs])
        with pytest.raises(Exception, match=words):
            port.raw(INFER, request.SerializeToString())


def test_waiting_messages_are_counted_and_given_back() -> None:
    async def run() -> None:
        accounts = Accounts(TokenLimits(bytes_in_flight=100))
        large, token, go = LargeMessages(accounts), TokenInfo("tok_1", "asker"), threading.Event()
        account = accounts.for_token(token.id)
        first = asyncio.create_task(large.read(token, 60, go.wait))
        second = asyncio.create_task(large.read(token, 40, go.wait))
        await until(lambda: account.bytes == 100)
        with pytest.raises(Overloaded):
            await large.read(token, 1, go.wait)
        second.cancel()
        await asyncio.wait([second])
        assert account.bytes == 60
        go.set()
        assert await first
        assert account.bytes == 0

    asyncio.run(run())
