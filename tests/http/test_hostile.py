"""Bodies and values that were sent to do harm."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import InvalidInput
from app.http import access_log
from app.http.request_metrics import Traffic
from app.strict_json import read_json
from tests.api.conftest import Api, train_job

XSS = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 500_000, "deep"),
        (b'{"a":' * 100_000, "deep"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e400}', "too large"),
        (b'{"a": ' + b"9" * 41 + b"}", "40 digits"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": "\\ud800"}', "Unicode"),
        (b"\xef\xbb\xbf{}", "valid JSON"),
        (b'{"a": "\xff"}', "Unicode"),
        (b"{'a': 1}", "character 1"),
        (b"", "valid JSON"),
        (b"\x80\x04K\x01.", "Unicode"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_that_is_none_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_json(body)


def test_json_keeps_numbers_as_they_are() -> None:
    assert read_json(b'{"a": 9223372036854775808, "b": -0, "c": 1.5, "d": "\\ud83d\\ude00"}') == {
        "a": 2**63,
        "b": 0,
        "c": 1.5,
        "d": "\N{GRINNING FACE}",
    }


@pytest.mark.parametrize(
    "body", [b"[" * 500_000, b'{"type": NaN}', b'{"type": "train", "type": "export"}', b"null", b'"x"']
)
def test_hostile_job_is_422_and_the_service_lives(shared_api: Api, body: bytes) -> None:
    answer = shared_api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert shared_api.http.get("/healthz").status_code == 200


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "text/plain", "application/vnd.bentoml+pickle", ""])
def test_other_content_types_are_415(shared_api: Api, kind: str) -> None:
    for method, path in (("POST", "/v1/jobs"), ("POST", "/v1/tokens"), ("PUT", "/v1/models/m/labels/latest")):
        answer = shared_api.http.request(method, path, content=b"{}", headers={"Content-Type": kind})
        assert answer.status_code == 415, (path, answer.text)


@pytest.mark.parametrize("field", ["model_dir", "source", "uri", "webhook", "artifact_location"])
@pytest.mark.parametrize("value", ["file:///etc/passwd", "http://169.254.169.254/", "s3://other/x"])
def test_no_field_takes_a_place(shared_api: Api, field: str, value: str) -> None:
    dataset = "ds_01k9zv0q2m8x4t6b3c5d7e9f1g"
    for body in (train_job(dataset, **{field: value}), train_job(value)):
        answer = shared_api.http.post("/v1/jobs", json=body)
        assert answer.status_code == 422
        assert value not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/v1/datasets/..",
        "/v1/datasets/%2e%2e",
        "/v1/datasets/%252e%252e/preview",
        "/v1/datasets/..%5c..%5cetc",
        "/v1//proc/self/root",
        "/v1/jobs/%00/logs",
        "/v1/jobs/job_01k9zv0q2m8x4t6b3c5d7e9f1g%2f..%2f..%2fetc/logs",
        "/v1/models/..%2f..%2fetc/metadata",
        "/v1/models/%ef%bc%8e%ef%bc%8e",
        "/v1/models/" + "a" * 300,
        "/static/..%2f..%2fmain.py",
        "/static/../main.py",
    ],
)
def test_paths_open_nothing(shared_api: Api, path: str) -> None:
    answer = shared_api.http.get(path)

    assert answer.status_code in {404, 422}
    assert "root:" not in answer.text


def test_names_come_back_as_json_only(shared_api: Api) -> None:
    answer = shared_api.http.post(
        "/v1/datasets", files={"file": ("x.csv", b"<script>,b\n1,2\n")}, data={"name": XSS + "\r\nSet-Cookie: a=b"}
    )

    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    assert answer.json()["name"].startswith(XSS)


def test_long_paths_do_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(access_log, "log", SimpleNamespace(info=lambda event, **fields: lines.append(fields)))
    record = access_log.AccessLog(Traffic()).record

    for path in ("/v1/jobs", "/" + "a" * 8000):
        record("GET", path, 401, 0.001, request_id="req_1", token=None)

    assert [line["path"] for line in lines] == ["/v1/jobs", "/" + "a" * 199 + "… (8001 characters)"]


def test_unknown_names_in_errors_are_cut_and_escaped(shared_api: Api) -> None:
    name = "x\n\x1b[31m\u202e" + "y" * 500
    answer = shared_api.http.post("/v1/tokens", json={"name": "a", "scopes": ["read"], name: 1})

    assert answer.status_code == 422
    place = answer.json()["errors"][0]
    assert place["pointer"].startswith("/x\\n\\x1b[31m\\u202e")
    assert len(place["pointer"]) < 130


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"train": {"max_steps": 10**18}}, "/train/max_steps"),
        ({"estimator": {"type": "DNNClassifier", "args": {"hidden_units": [10**9]}}}, "/estimator/args/hidden_units"),
        ({"priority": -1}, "/priority"),
        ({"timeout_s": 0}, "/timeout_s"),
    ],
)
def test_absurd_numbers_are_422_at_their_place(shared_api: Api, change: dict[str, Any], pointer: str) -> None:
    answer = shared_api.http.post("/v1/jobs", json=train_job(shared_api.dataset(), **change))

    assert answer.status_code == 422
    assert any(error["pointer"].startswith(pointer) for error in answer.json()["errors"]), answer.text


def test_dashboard_puts_text_into_the_page_as_text() -> None:
    from app.api.pages import _WEB

    scripts = [path.read_text() for path in (_WEB / "static").glob("*.js")]

    assert scripts
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
        assert not any(dangerous in script for script in scripts)
    assert "on" + "click=" not in (_WEB / "dashboard.html").read_text()


def test_wrong_method_is_405_with_allow(shared_api: Api) -> None:
    answer = shared_api.http.put("/v1/jobs", json={})

    assert answer.status_code == 405
    assert answer.headers["allow"]
    assert json.loads(answer.text)["status"] == 405
