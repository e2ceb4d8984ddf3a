"""Messages of TensorFlow Serving's protocol that are broken, or say what their values are not."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from tests.protocols.conftest import MESSAGE_BYTES, Port
from tests.protocols.test_tensorflow_serving import CLASSIFY, PREDICT, examples_request, floats, predict_request


def _hostile(**changes: Any) -> Any:
    """A request whose input x says what its values are not."""
    request = predict_request()
    proto = request.inputs["x"]
    proto.dtype = changes.get("dtype", 1)
    proto.tensor_content = changes.get("content", b"")
    proto.float_val.extend(changes.get("floats", ()))
    for size in changes.get("shape", ()):
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_shape.unknown_rank = changes.get("unknown", False)
    return request


@pytest.mark.parametrize(
    "request_",
    [
        _hostile(shape=[2**62], floats=[1]),
        _hostile(shape=[2**62, 2**62], floats=[1]),
        _hostile(shape=[0, 2**62]),
        _hostile(shape=[2**30], floats=[1]),
        _hostile(shape=[-1], floats=[1]),
        _hostile(shape=[2], content=b"\0" * 7),
        _hostile(shape=[2], content=b"\0" * 800),
        _hostile(shape=[1], floats=[1, 2]),
        _hostile(shape=[1] * 200, floats=[1]),
        _hostile(unknown=True, floats=[1]),
        _hostile(shape=[1], dtype=0),
        _hostile(shape=[1], dtype=20),
        _hostile(shape=[1], dtype=999),
        _hostile(shape=[1], dtype=7, content=b"text"),
    ],
)
def test_tensors_that_lie_are_invalid(port: Port, request_: Any) -> None:
    assert port.refusal(PREDICT, request_)[0] == "INVALID_ARGUMENT"


def _filled(count: int, inputs: int = 1, **values: Any) -> Any:
    """Inputs that have one value for many rows, which the format allows."""
    request = predict_request("mixed")
    for number in range(inputs):
        proto = request.inputs[f"x{number}"]
        proto.dtype = values.get("dtype", 1)
        proto.float_val.extend(values.get("floats", ()))
        proto.string_val.extend(values.get("strings", ()))
        proto.tensor_shape.dim.add(size=count)
    return request


def test_small_messages_do_not_unfold_beyond_the_limit(port: Port) -> None:
    half = MESSAGE_BYTES // 8
    for request in (
        _filled(half, inputs=3, floats=[1.0]),  # each is half of what all may take
        _filled(1000, dtype=7, strings=[b"x" * (MESSAGE_BYTES // 500)]),
    ):
        code, detail = port.refusal(PREDICT, request)
        assert code == "INVALID_ARGUMENT"
        assert "takes more than" in detail
    request = examples_request(context=True)
    given = request.input.example_list_with_context
    given.context.features.feature["s"].bytes_list.value.append(b"x" * (MESSAGE_BYTES // 50))
    for _ in range(100):
        given.examples.add().CopyFrom(given.examples[0])
    code, detail = port.refusal(CLASSIFY, request)
    assert (code, "takes more than" in detail) == ("INVALID_ARGUMENT", True)


def test_malformed_messages_are_invalid(port: Port) -> None:
    good = predict_request(x=floats(1)).SerializeToString()
    codes = set()
    for broken in (b"\xff" * 50, good[:-3], b"\x0a\xff\xff\xff\xff\x0f", good + b"\x12\x05\x0a\xff"):
        with pytest.raises(grpc.RpcError) as caught:
            port.raw("/tensorflow.serving.PredictionService/Predict", broken)
        codes.add(caught.value.code().name)
    assert codes == {"INVALID_ARGUMENT"}
