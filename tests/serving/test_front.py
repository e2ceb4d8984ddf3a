"""Requests and answers over HTTP, in the shapes that TensorFlow Serving's REST API documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.serving.conftest import Server

ROW = {"a": 0.5, "n": 1, "v": [1.0, 2.0], "s": "x", "q": [1.0, 2.0], "w": ["b"]}

# half: y = x / 2 + 2 (version 1), x / 2 + 3 (version 2, label canary).
# mixed: total = a + 10 n + 100 sum(v) + 1000 len(s) + 10000 sum(q).
#   ROW: 0.5 + 10 + 300 + 1000 + 30000 = 31310.5
#   n = 2, v = [0, 0], all else missing: 0.25 (the mean) + 20 + 0 + 0 + 0 = 20.25
GOLDEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("half:predict", {"instances": [1.0, 2.0, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
    ("half:predict", {"instances": [{"x": 1.0}, {"x": 2}]}, {"predictions": [2.5, 3.0]}),
    ("half:predict", {"inputs": [1.0, 2.0]}, {"outputs": [2.5, 3.0]}),
    ("half:predict", {"inputs": {"x": [1.0, 2.0]}}, {"outputs": [2.5, 3.0]}),
    ("half:predict", {"signature_name": "predict", "instances": [1.0]}, {"predictions": [2.5]}),
    ("half:predict", {"signature_name": "", "instances": [1.0]}, {"predictions": [2.5]}),
    ("half:predict", {"signature_name": "regression", "instances": [1.0]}, {"predictions": [[2.5]]}),
    ("half:predict", {"instances": []}, {"predictions": []}),
    ("half:predict", {"inputs": []}, {"outputs": []}),
    ("half/versions/1:predict", {"instances": [1.0]}, {"predictions": [2.5]}),
    ("half/versions/2:predict", {"instances": [1.0]}, {"predictions": [3.5]}),
    ("half/labels/canary:predict", {"instances": [1.0]}, {"predictions": [3.5]}),
    ("half/labels/latest:predict", {"instances": [1.0]}, {"predictions": [2.5]}),
    ("half:regress", {"examples": [{"x": 1.0}, {"x": [2.0]}]}, {"results": [2.5, 3.0], "result": [2.5, 3.0]}),
    ("half:regress", {"signature_name": "regression", "context": {"x": 4}, "examples": [{}, {"x": 1}]},
     {"results": [4.0, 2.5], "result": [4.0, 2.5]}),
    ("mixed:predict", {"instances": [ROW, {"n": 2, "v": [0, 0]}]},
     {"predictions": [{"total": 31310.5, "words": 1, "text": "x-1", "raw_bytes": {"b64": "eA=="}},
                      {"total": 20.25, "words": 0, "text": "-2", "raw_bytes": {"b64": ""}}]}),
    ("mixed:predict", {"instances": [ROW, {"a": None, "n": 2, "v": [0, 0], "s": None, "q": [], "w": None}]},
     {"predictions": [{"total": 31310.5, "words": 1, "text": "x-1", "raw_bytes": {"b64": "eA=="}},
                      {"total": 20.25, "words": 0, "text": "-2", "raw_bytes": {"b64": ""}}]}),
    ("mixed:predict", {"inputs": {"n": [2, 3], "v": [[0, 0], [1, 1]], "s": [{"b64": "/w=="}, "é"], "q": [[1], []]}},
     {"outputs": {"total": [11020.25, 2230.25], "words": [0, 0], "text": [{"b64": "/y0y"}, "é-3"],
                  "raw_bytes": [{"b64": "/w=="}, {"b64": "w6k="}]}}),
    ("mixed:classify", {"examples": [{"n": 2, "v": [0, 0]}], "context": {"a": 0.25}},
     {"results": [[["no", 0.25], ["yes", 0.75]]], "result": [[["no", 0.25], ["yes", 0.75]]]}),
    # tf.Example {"a": 0.5}: features { feature { key: "a" value { float_list { value: 0.5 } } } }
    ("mixed:predict", {"signature_name": "examples", "instances": [{"b64": "Cg8KDQoBYRIIEgYKBAAAAD8="}]},
     {"predictions": [0.5]}),
    ("mixed:predict", {"signature_name": "examples", "inputs": {"examples": [{"b64": "Cg8KDQoBYRIIEgYKBAAAAD8="}]}},
     {"outputs": [0.5]}),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(GOLDEN)))
def test_golden_request_gives_the_documented_answer(server: Server, case: int) -> None:
    path, body, expected = GOLDEN[case]
    response = server.post(path, body)
    assert (response.status_code, response.json()) == (200, expected)


def test_answer_headers_tell_version_lineage_and_times(server: Server) -> None:
    headers = server.post("half/versions/2:predict", {"instances": [1.0, 2.0]}).headers
    assert headers["content-type"] == "application/json"
    assert headers["x-model"] == "half"
    assert headers["x-model-version"] == "2"
    assert headers["x-lineage-id"] == "ver_half2"
    assert int(headers["x-batch-rows"]) >= 2
    assert int(headers["x-queue-us"]) >= 0
    assert int(headers["x-run-us"]) > 0


def test_ten_thousand_rows_in_one_request_come_back_in_order(server: Server) -> None:
    values = [float(i) for i in range(10_000)]
    answer = server.post("half:predict", {"instances": values}).json()["predictions"]
    assert answer == [value / 2 + 2 for value in values]


# (body, words that the error has to have)
REFUSED: list[tuple[str, bytes | dict[str, Any], list[str]]] = [
    ("half:predict", b"", ["JSON"]),
    ("half:predict", b"{", ["JSON"]),
    ("half:predict", b"[1]", ["object"]),
    ("half:predict", b"\xff\xfe", ["UTF-8"]),
    ("half:predict", b'\xef\xbb\xbf{"instances":[1]}', ["JSON"]),
    ("half:predict", b"[" * 500_000, ["deep"]),
    ("half:predict", b'{"instances":' + b"[" * 500_000, ["deep"]),
    ("half:predict", b'{"instances":[NaN]}', ["NaN"]),
    ("half:predict", b'{"instances":[-Infinity]}', ["Infinity"]),
    ("half:predict", b'{"instances":[1e400]}', ["Instance 0", "'x'", "float32"]),
    ("half:predict", b'{"instances":[1e39]}', ["Instance 0", "'x'", "float32"]),
    ("half:predict", b'{"instances":[' + b"9" * 40 + b"]}", ["Instance 0", "float32"]),
    ("half:predict", b'{"instances":[' + b"9" * 5000 + b"]}", ["digits"]),
    ("half:predict", b'{"instances":[{"x":1,"x":2}]}', ["'x'", "twice"]),
    ("half:predict", b'{"instances":[1],"instances":[2]}', ["'instances'", "twice"]),
    ("half:predict", {"instances": [1.0], "inputs": [1.0]}, ["either"]),
    ("half:predict", {}, ["instances", "inputs"]),
    ("half:predict", {"instances": 1.0}, ["list"]),
    ("half:predict", {"instances": [1.0], "extra": 1}, ["'extra'"]),
    ("half:predict", {"instances": [1.0], "signature_name": 3}, ["signature_name"]),
    ("half:predict", {"instances": ["one"]}, ["Instance 0", "'x'", "a string", "float32"]),
    ("half:predict", {"instances": [True]}, ["Instance 0", "'x'", "float32"]),
    ("half:predict", {"instances": [1.0, None]}, ["Instance 1", "'x'", "null"]),
    ("half:predict", {"instances": [1.0, [2.0]]}, ["Instance 1", "'x'", "list"]),
    ("half:predict", {"instances": [{"y": 1.0}]}, ["Instance 0", "'y'"]),
    ("half:predict", {"inputs": {"x": 1.0}}, ["'x'", "batch"]),
    ("half:regress", {"signature_name": "predict", "examples": [{"x": 1}]}, [":predict"]),
    ("half:regress", {"examples": [1.0]}, ["Example 0"]),
    ("half:regress", {"instances": [1.0]}, ["'instances'"]),
    ("mixed:predict", {"instances": [1.0]}, ["Instance 0", "features"]),
    ("mixed:predict", {"instances": [{"n": 1}]}, ["Instance 0", "'v'", "missing", "shape [2]", "A body that works"]),
    ("mixed:predict", {"instances": [ROW | {"v": [1.0]}]}, ["Instance 0", "'v'", "list of 1", "shape [2]"]),
    ("mixed:predict", {"instances": [ROW | {"v": [[1.0], [2.0]]}]}, ["'v'", "shape [2]"]),
    ("mixed:predict", {"instances": [ROW | {"n": 1.5}]}, ["'n'", "int64"]),
    ("mixed:predict", {"instances": [ROW | {"n": 2**63}]}, ["'n'", "int64"]),
    ("mixed:predict", {"instances": [ROW | {"n": None}]}, ["'n'", "null"]),
    ("mixed:predict", {"instances": [ROW | {"s": 3}]}, ["'s'", "string", "x, yy"]),
    ("mixed:predict", {"instances": [ROW | {"s": {"b64": "!"}}]}, ["'s'", "base64"]),
    ("mixed:predict", {"instances": [ROW | {"q": 3}]}, ["'q'", "list"]),
    ("mixed:predict", {"instances": [ROW | {"q": [1, "a"]}]}, ["'q'", "a string"]),
    ("mixed:predict", {"instances": [ROW, ROW | {"zz": 1}]}, ["Instance 1", "'zz'"]),
    ("mixed:predict", {"inputs": {"n": [1, 2], "v": [[1, 2]]}}, ["different numbers"]),
    ("mixed:predict", json.dumps({"instances": [ROW | {"s": "\ud800"}]}).encode(), ["surrogate"]),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_wrong_request_is_refused_with_the_place_and_never_the_value(server: Server, case: int) -> None:
    path, body, words = REFUSED[case]
    response = server.post(path, body)
    answer = response.json()
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert answer["error"] == answer["detail"]
    for word in words:
        assert word in answer["detail"], answer["detail"]


def test_errors_do_not_echo_values(server: Server) -> None:
    secret = "4111-1111-1111-1111"
    for instance in ({"x": secret}, {"x": {"b64": secret}}, {"x": [secret]}):
        assert secret not in server.post("half:predict", {"instances": [instance]}).text


def test_example_in_an_error_works_when_sent(server: Server) -> None:
    detail = server.post("mixed:predict", {"instances": [{}]}).json()["detail"]
    body = json.loads(detail.partition("A body that works: ")[2])
    assert server.post("mixed:predict", body).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nobody:predict", 404),
        ("half/versions/9:predict", 404),
        ("half/labels/nobody:predict", 404),
        ("half:predict/x", 404),
        ("../half:predict", 404),
        ("%2e%2e%2fhalf:predict", 404),
        ("half/versions/x:predict", 404),
        ("half:train", 404),
    ],
)
def test_unknown_path_is_not_found(server: Server, path: str, status: int) -> None:
    assert server.post(path, {"instances": [1.0]}).status_code == status


def test_unknown_signature_is_not_found_and_names_those_there_are(server: Server) -> None:
    response = server.post("half:predict", {"signature_name": "nope", "instances": [1.0]})
    assert response.status_code == 404
    assert "regression" in response.json()["detail"]


def test_too_many_instances_are_too_large(server: Server) -> None:
    body = b'{"instances":[' + b",".join([b"1"] * 70_000) + b"]}"
    assert server.post("half:predict", body).status_code == 413


def test_padding_to_one_long_sequence_is_refused_before_it_is_made(server: Server) -> None:
    """A few MB of JSON that would take 40 GB once all rows are padded to the longest."""
    rows = [ROW | {"q": [1] * 1_000_000}, *[ROW] * 9_999]
    response = server.post("mixed:predict", {"instances": rows})
    assert response.status_code == 413
    assert "padded" in response.json()["detail"]
    assert server.post("mixed:predict", {"instances": [ROW]}).status_code == 200


def test_status_and_metadata_have_the_shapes_of_tensorflow_serving(server: Server) -> None:
    server.post("half/versions/2:predict", {"instances": [1.0]})
    status = server.service.status("half", 1)["model_version_status"]
    assert status == [
        {
            "version": "1",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
            "labels": ["latest"],
        }
    ]
    assert [item["version"] for item in server.service.status("half")["model_version_status"]] == ["2", "1"]
    metadata = server.call(server.service.metadata("half"))
    assert metadata["model_spec"] == {"name": "half", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["regression"]
    assert signature["method_name"] == "tensorflow/serving/regress"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "x",
    }
