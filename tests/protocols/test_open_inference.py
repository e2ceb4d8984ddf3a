"""The Open Inference Protocol, over HTTP and gRPC, called with bodies and messages."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from app.protocols.oip_schema import PUBLIC
from tests.protocols.conftest import MESSAGE_BYTES, Port

LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/{}/infer"


@pytest.fixture
def http(port: Port) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer asker"}
    with httpx.Client(base_url=f"http://{port.http_address}", headers=headers, timeout=30, trust_env=False) as client:
        yield client


def tensor(name: str, datatype: str, shape: list[int], data: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def x(*values: Any, datatype: str = "FP32") -> dict[str, Any]:
    return {"inputs": [tensor("x", datatype, [len(values)], list(values))]}


def binary(inputs: list[tuple[str, str, list[int], bytes]], **more: Any) -> tuple[bytes, dict[str, str]]:
    """A body with raw tensors, and its headers."""
    described = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, datatype, shape, data in inputs
    ]
    head = json.dumps({"inputs": described, **more}).encode()
    return head + b"".join(data for *_, data in inputs), {LENGTH: str(len(head))}


def strings(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def raw_outputs(answer: httpx.Response) -> dict[str, bytes]:
    size = int(answer.headers[LENGTH])
    rest = answer.content[size:]
    found = {}
    for output in json.loads(answer.content[:size])["outputs"]:
        length = output["parameters"]["binary_data_size"]
        found[output["name"]], rest = rest[:length], rest[length:]
    assert rest == b""
    return found


def test_health_needs_no_token_and_follows_readiness(port: Port, http: httpx.Client) -> None:
    del http.headers["Authorization"]
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    port.ready = False
    try:
        answer = http.get("/v2/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False})
    finally:
        port.ready = True
    assert http.get("/v2").status_code == 401
    assert http.post(INFER.format("half"), json=x(1.0)).status_code == 401


def test_server_and_models_describe_themselves(http: httpx.Client) -> None:
    assert http.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert http.get("/v2/models/half/ready").json() == {"name": "half", "ready": True}
    assert http.get("/v2/models/half").json() == {
        "name": "half",
        "versions": ["1", "2"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
    }
    assert http.get("/v2/models/half/versions/canary").json()["versions"] == ["2"]
    mixed = {one["name"]: one for one in http.get("/v2/models/mixed").json()["inputs"]}
    assert mixed["v"]["shape"] == [-1, 2]
    assert mixed["w"] == {"name": "w", "datatype": "BYTES", "shape": [-1, -1]}


@pytest.mark.parametrize("version", ["", "/versions/2", "/versions/canary"])
def test_infer_in_json_by_version_and_label(http: httpx.Client, version: str) -> None:
    answer = [3.5, 4.0] if version else [2.5, 3.0]  # x / 2 + 3, x / 2 + 2
    found = http.post(f"/v2/models/half{version}/infer", json={**x(1, 2.0), "id": "7"})
    assert found.json() == {
        "model_name": "half",
        "model_version": "2" if version else "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": answer}],
        "id": "7",
    }
    assert found.headers["x-model-version"] == found.json()["model_version"]


def test_outputs_and_signature_are_chosen(http: httpx.Client) -> None:
    inputs = [
        tensor("n", "INT32", [2], [1, 2]),
        tensor("v", "FP64", [2, 2], [[1, 2], [1, 2]]),
        tensor("s", "BYTES", [2], ["x", "yy"]),
        tensor("q", "FP32", [2, 1], [1, 1]),
    ]
    answer = http.post(INFER.format("mixed"), json={"inputs": inputs, "outputs": [{"name": "text"}]}).json()
    assert answer["outputs"] == [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["x-1", "yy-2"]}]
    regression = {**x(2.0), "parameters": {"signature_name": "regression"}}
    answer = http.post(INFER.format("half"), json=regression).json()
    assert answer["outputs"] == [{"name": "outputs", "datatype": "FP32", "shape": [1, 1], "data": [3.0]}]


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", np.array([1, 2], "<f4").tobytes()),
        ("FP16", np.array([1, 2], "<f2").tobytes()),
        ("BF16", (np.array([1, 2], "<f4").view("<u4") >> 16).astype("<u2").tobytes()),
        ("FP64", np.array([1, 2], "<f8").tobytes()),
        ("INT8", b"\x01\x02"),
    ],
)
def test_binary_tensors_of_every_kind(http: httpx.Client, datatype: str, data: bytes) -> None:
    body, headers = binary([("x", datatype, [2], data)], parameters={"binary_data_output": True})
    answer = http.post(INFER.format("half"), content=body, headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert np.frombuffer(raw_outputs(answer)["y"], "<f4").tolist() == [2.5, 3.0]


def test_binary_strings_and_one_binary_output(http: httpx.Client) -> None:
    body, headers = binary(
        [
            ("n", "INT64", [2], np.array([1, 2]).tobytes()),
            ("v", "FP32", [2, 2], np.ones(4, np.float32).tobytes()),
            ("s", "BYTES", [2], strings(b"x", b"yy")),
        ],
        outputs=[{"name": "text", "parameters": {"binary_data": True}}, {"name": "words"}],
    )
    answer = http.post(INFER.format("mixed"), content=body, headers=headers)
    size = int(answer.headers[LENGTH])
    text, words = json.loads(answer.content[:size])["outputs"]
    assert answer.content[size:] == strings(b"x-1", b"yy-2")
    assert (text["shape"], words["data"]) == ([2], [0, 0])


def _binary_x(data: bytes, shape: list[int], datatype: str = "FP32") -> tuple[bytes, dict[str, str]]:
    return binary([("x", datatype, shape, data)])


WRONG: list[tuple[Any, int]] = [
    (x(1.0, "a"), 422),
    (x(1.5, datatype="INT64"), 422),
    (x(300, datatype="INT8"), 422),
    (x(1.0, datatype="FP8"), 422),
    ({"inputs": [tensor("x", "FP32", [3], [1.0])]}, 422),
    ({"inputs": [tensor("x", "FP32", [-1], [1.0])]}, 422),
    ({"inputs": [tensor("x", "FP32", [2**60], [1.0])]}, 422),
    ({"inputs": [tensor("x", "FP32", [2**20], [1.0])]}, 413),
    ({"inputs": [tensor("x", "FP32", [2, 2], [[1.0], [1.0, 2.0]])]}, 422),
    ({"inputs": [tensor("x", "FP32", [1], None)]}, 422),
    ({"inputs": [tensor("x", "FP32", [200_001], ["a" * 100_000] + [1] * 200_000)]}, 422),  # 80 GB of text in numpy
    ({"inputs": [tensor("x", "FP32", [2], [{}, None])]}, 422),
    ({"inputs": [*x(1.0)["inputs"], *x(1.0)["inputs"]]}, 422),
    ({"inputs": []}, 422),
    ({}, 422),
    ({**x(1.0), "outputs": [{"name": "z"}]}, 422),
    ({**x(1.0), "outputs": [{"name": "y"}, {"name": "y"}]}, 422),
    (_binary_x(b"", [0, 2**18]), 422),
    ({**x(1.0), "parameters": {"signature_name": "nobody"}}, 404),
    ({**x(1.0), "parameters": {"signature_name": 1}}, 422),
    ({"inputs": [tensor("z", "FP32", [1], [1.0])]}, 422),
    (_binary_x(b"\0" * 7, [2]), 422),
    (_binary_x(b"\xff\xff\xff\xff", [1], "BYTES"), 422),
    (_binary_x(b"\0\0", [1], "BYTES"), 422),
    ((b"{}", {LENGTH: "99"}), 422),
    ((b"{}", {LENGTH: "-1"}), 422),
    ((_binary_x(b"\0" * 4, [1])[0] + b"more", _binary_x(b"\0" * 4, [1])[1]), 422),
    ((b"{" * 100_000, {}), 422),
    ((b"[1" * 1000, {}), 422),
    ((json.dumps(x(*range(200_000))).encode(), {}), 413),
]


@pytest.mark.parametrize(("body", "status"), WRONG)
def test_what_is_wrong_is_told_as_the_protocol_says(http: httpx.Client, body: Any, status: int) -> None:
    content, headers = body if isinstance(body, tuple) else (json.dumps(body).encode(), {})
    answer = http.post(INFER.format("half"), content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"]


def test_other_paths_and_methods(http: httpx.Client) -> None:
    assert http.get(INFER.format("half")).status_code == 405
    assert http.post("/v2/models/half/ready").status_code in {403, 405}
    assert http.get("/v2/nothing").status_code == 404
    for path in ("/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/half/versions/9"):
        answer = http.get(path)
        assert answer.status_code == 404
        assert "error" in answer.json()
    assert http.post(INFER.format("nobody"), json=x(1.0)).status_code == 404
    assert http.post(INFER.format("half"), json=x(1.0), headers={"Authorization": "Bearer reader"}).status_code == 403


def new(message: str, /, **fields: Any) -> Any:
    return PUBLIC.message(f"inference.{message}")(**fields)


def call(port: Port, name: str, request: Any, **options: Any) -> Any:
    answer = port.raw(f"/inference.GRPCInferenceService/{name}", request.SerializeToString(), **options)
    return PUBLIC.message(f"inference.{name}Response").FromString(answer)


def infer_request(values: list[float], *, model: str = "half", raw: bool = False, **changes: Any) -> Any:
    request = new("ModelInferRequest", model_name=model, **changes)
    given = request.inputs.add(name="x", datatype="FP32", shape=[len(values)])
    if raw:
        request.raw_input_contents.append(np.array(values, "<f4").tobytes())
    else:
        given.contents.fp32_contents.extend(values)
    return request


def test_grpc_tells_of_server_and_models(port: Port) -> None:
    assert call(port, "ServerLive", new("ServerLiveRequest"), token=None).live
    assert call(port, "ServerReady", new("ServerReadyRequest"), token=None).ready
    assert call(port, "ServerMetadata", new("ServerMetadataRequest")).name == "estimator-service"
    assert call(port, "ModelReady", new("ModelReadyRequest", name="half")).ready
    assert not call(port, "ModelReady", new("ModelReadyRequest", name="nobody")).ready
    found = call(port, "ModelMetadata", new("ModelMetadataRequest", name="half", version="2"))
    assert (list(found.versions), found.inputs[0].datatype, list(found.inputs[0].shape)) == (["2"], "FP32", [-1])


def test_grpc_infers_with_contents_and_raw(port: Port) -> None:
    typed = call(port, "ModelInfer", infer_request([1, 2], id="7", model_version="canary"))
    assert (typed.id, typed.model_version, list(typed.outputs[0].contents.fp32_contents)) == ("7", "2", [3.5, 4.0])
    raw = call(port, "ModelInfer", infer_request([1, 2], raw=True))
    assert np.frombuffer(raw.raw_output_contents[0], "<f4").tolist() == [2.5, 3.0]
    request = infer_request([2])
    request.parameters["signature_name"].string_param = "regression"
    assert call(port, "ModelInfer", request).outputs[0].name == "outputs"


def _lying(**changes: Any) -> Any:
    request = infer_request([1.0])
    given = request.inputs[0]
    for name, value in changes.items():
        if name == "shape":
            del given.shape[:]
            given.shape.extend(value)
        elif name == "raw":
            request.raw_input_contents.extend(value)
        else:
            setattr(given, name, value)
    return request


@pytest.mark.parametrize(
    "request_",
    [
        _lying(shape=[2**62]),
        _lying(shape=[2**30]),
        _lying(shape=[-1]),
        _lying(shape=[2]),
        _lying(datatype="FP16"),
        _lying(datatype="NOTHING"),
        _lying(datatype="INT64"),
        _lying(name="z"),
        _lying(raw=[b"123"]),
        _lying(raw=[b"1234", b"1234"]),
        new("ModelInferRequest", model_name="half"),
    ],
)
def test_grpc_messages_that_lie_are_invalid(port: Port, request_: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(port, "ModelInfer", request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_body_over_the_limit_is_refused_before_it_is_read(http: httpx.Client) -> None:
    body, headers = _binary_x(b"\0" * MESSAGE_BYTES, [MESSAGE_BYTES // 4])
    assert http.post(INFER.format("half"), content=body, headers=headers).status_code == 413
