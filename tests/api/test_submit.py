"""What a job's body cannot do to others: it is checked outside the transaction that writes, and bounded in what it
unfolds to."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any

import pytest

from app.dispatch import Dispatch
from tests.api.conftest import Api, train_job
from tests.waiting import wait_for


def token_of(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(values)).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/v1/audit", [2**70]),
        ("/v1/audit", [-(2**63) - 1]),
        ("/v1/jobs", [1.0, "\ud800"]),
        ("/v1/jobs", [float("nan"), "job_x"]),
        ("/v1/jobs", [float("inf"), "job_x"]),
        ("/v1/datasets", [1.0, "\udfff"]),
        ("/v1/models", ["\ud800"]),
        ("/v1/models", ["a\0"]),
        ("/v1/models", [True]),
    ],
)
def test_made_up_page_token_is_422(shared_api: Api, path: str, values: list[Any]) -> None:
    answer = shared_api.http.get(path, params={"page_token": token_of(*values)})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == "/page_token"


def nested(count: int, start: str, core: str, end: str) -> str:
    return start * count + core + end * count


CATEGORICAL = '{"type":"categorical_column_with_hash_bucket","key":"size","hash_bucket_size":10}'
WEIGHTED = '{"type":"weighted_categorical_column","weight_feature_key":"size","categorical_column":'


@pytest.mark.parametrize("depth", [10, 60, 64, 65, 100, 200, 400, 900, 3000, 100_000])
def test_nested_specification_is_422(shared_api: Api, depth: int) -> None:
    dataset = shared_api.dataset()
    column = '{"type":"indicator_column","categorical_column":' + nested(depth, WEIGHTED, CATEGORICAL, "}") + "}"
    head = nested(depth, '{"type":"MultiHead","heads":[', '{"type":"RegressionHead"}', "]}")
    keys = nested(depth, '{"type":"crossed_column","hash_bucket_size":10,"keys":["size",', '"colour"', "]}")
    for args in (
        f'{{"hidden_units":[4],"feature_columns":[{column}]}}',
        f'{{"hidden_units":[4],"head":{head}}}',
        f'{{"hidden_units":[4],"feature_columns":[{keys}]}}',
        nested(depth, '{"a":', "1", "}"),
        nested(depth, "[", "1", "]"),
    ):
        job = json.dumps(train_job(dataset, estimator={"type": "DNNEstimator", "args": "ARGS"}))
        answer = shared_api.http.post(
            "/v1/jobs",
            content=job.replace('"ARGS"', args),
            headers={"Content-Type": "application/json"},
            params={"dry_run": "true"},
        )
        assert answer.status_code == 422, (depth, args[:60], answer.text)


def test_body_is_checked_while_others_write(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, go_on = threading.Event(), threading.Event()
    plan = Dispatch.plan

    def slow(self: Dispatch, body: Any) -> Any:
        planned.set()
        assert go_on.wait(30)
        return plan(self, body)

    job = train_job(api.dataset())
    monkeypatch.setattr(Dispatch, "plan", slow)
    answers: list[Any] = []
    submit = threading.Thread(target=lambda: answers.append(api.http.post("/v1/jobs", json=job)))
    submit.start()
    assert planned.wait(30)
    api.token("read")  # writes a row, while the other still waits
    assert not answers
    go_on.set()
    submit.join()
    assert answers[0].status_code == 202


def test_repeated_submit_is_answered_though_its_data_set_is_gone(api: Api) -> None:
    dataset = api.dataset()
    headers = {"Idempotency-Key": "one"}
    first = api.http.post("/v1/jobs", json=train_job(dataset), headers=headers)
    assert first.status_code == 202
    api.http.post(f"/v1/jobs/{first.json()['id']}/cancel")
    wait_for(lambda: api.http.delete(f"/v1/datasets/{dataset}").status_code == 204)
    again = api.http.post("/v1/jobs", json=train_job(dataset), headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    other = api.http.post("/v1/jobs", json=train_job(dataset, model="other"), headers=headers)
    assert other.status_code == 422


def test_many_wrong_places_are_told_a_hundred_at_most(shared_api: Api) -> None:
    args = {"hidden_units": [4], **{f"k{i}": 0 for i in range(20_000)}}
    job = train_job(shared_api.dataset(), estimator={"type": "DNNClassifier", "args": args})
    answer = shared_api.http.post("/v1/jobs", json=job)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) <= 100
    assert len(answer.content) < 100_000


@pytest.mark.parametrize("piece", [b"{}", b"[]", b"1", b'"a"', b'{"a":1}'])
@pytest.mark.parametrize(
    "where", [b"%s", b'{"type":"train","model":"x","estimator":{"type":"DNNClassifier","args":%s}}']
)
def test_others_wait_little_while_a_large_body_is_refused(shared_api: Api, piece: bytes, where: bytes) -> None:
    body = where % (b"[" + b",".join([piece] * (14 * 2**20 // (len(piece) + 1))) + b"]")
    statuses: list[int] = []

    def attack() -> None:
        answer = shared_api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        statuses.append(answer.status_code)

    thread = threading.Thread(target=attack)
    thread.start()
    waits = []
    while thread.is_alive():
        started = time.perf_counter()
        assert shared_api.http.get("/healthz").status_code == 200
        waits.append(time.perf_counter() - started)
        time.sleep(0.02)
    thread.join()
    assert statuses == [413]
    # 0.1 s on an idle machine, where the client that sends 14 MiB shares this interpreter; a body that is
    # read on the event loop takes half a minute
    assert max(waits) < 10.0


def test_large_body_where_none_is_wanted_is_413(shared_api: Api) -> None:
    for path, size in (("/healthz", 17), ("/v1/tokens", 257), ("/v1/models/m/labels/latest", 257)):
        method = "GET" if path == "/healthz" else "POST"
        answer = shared_api.http.request(method, path, content=b" " * (size * 1024))
        assert answer.status_code == 413, path
