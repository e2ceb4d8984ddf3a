"""Uploading, looking at and deleting data sets over HTTP."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import TooLarge
from app.registry.jobs.repository import JobRepository
from tests.api.conftest import CSV, Api, train_job
from tests.waiting import wait_for


def directories(api: Api) -> list[str]:
    return api.service.storage.keys("datasets")


def test_upload_answers_201_with_columns(api: Api) -> None:
    answer = api.upload()

    assert answer.status_code == 201
    dataset = answer.json()
    assert (dataset["name"], dataset["rows"], dataset["format"]) == ("things", 60, "csv")
    assert [(column["name"], column["dtype"]) for column in dataset["columns"]] == [
        ("size", "int64"),
        ("colour", "string"),
        ("kind", "string"),
    ]
    assert answer.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert api.http.get(answer.headers["location"]).json() == dataset
    assert directories(api) == [f"datasets/{dataset['id']}"]


def test_same_content_again_is_the_same_data_set_and_leaves_nothing(api: Api) -> None:
    first, again = api.upload(), api.upload(filename="other.csv")

    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]
    assert len(directories(api)) == 1


def test_fields_may_come_before_or_after_the_file(api: Api) -> None:
    for order in (("name", "file"), ("file", "name")):
        boundary = "xx"
        parts = {
            "name": 'name="name"\r\n\r\nthings',
            "file": 'name="file"; filename="a.csv"\r\n\r\n' + CSV.decode(),
        }
        body = "".join(f"--{boundary}\r\nContent-Disposition: form-data; {parts[name]}\r\n" for name in order)
        answer = api.http.post(
            "/v1/datasets",
            content=(body + f"--{boundary}--\r\n").encode(),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["name"] == "things"


def test_bad_file_is_422_with_its_line_and_nothing_is_left(api: Api) -> None:
    answer = api.upload(b"a,b\n1,2\n3\n")

    assert answer.status_code == 422
    assert "line 3" in answer.json()["detail"].lower()
    assert directories(api) == []
    assert api.http.get("/v1/datasets").json()["datasets"] == []


@pytest.mark.parametrize(
    ("files", "data", "status"),
    [
        ({"file": ("a.exe", b"MZ")}, {}, 415),
        ({"other": ("a.csv", CSV)}, {}, 422),
        ({"file": ("a.csv", CSV)}, {"url": "file:///etc/passwd"}, 422),
        ({"file": ("a.csv", CSV)}, {"name": "x" * 201}, 422),
        ({"file": ("a.csv", CSV)}, {"schema": "{"}, 422),
        ({"file": ("a.csv", CSV)}, {"schema": "[]"}, 422),
        ({"file": ("a.csv", CSV)}, {"schema": '{"columns": {"nope": {"dtype": "string"}}}'}, 422),
        ([("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))], {}, 422),
    ],
)
def test_wrong_form_is_refused(api: Api, files: Any, data: dict[str, str], status: int) -> None:
    answer = api.http.post("/v1/datasets", files=files, data=data)

    assert answer.status_code == status, answer.text
    assert "passwd" not in answer.text
    assert directories(api) == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"x", 415),
        ("multipart/form-data; boundary=xx", b"garbage", 422),
        (
            "multipart/form-data; boundary=xx",
            b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.csv"',
            422,
        ),
        ("multipart/form-data; boundary=xx", b"", 422),
        (f"multipart/form-data; boundary={'x' * 9000}", b"--" + b"x" * 9000 + b"--", 422),
        ("application/vnd.bentoml+pickle", b"x", 415),
    ],
)
def test_broken_form_is_refused(api: Api, content_type: str, body: bytes, status: int) -> None:
    answer = api.http.post("/v1/datasets", content=body, headers={"Content-Type": content_type})

    assert answer.status_code == status, answer.text
    assert directories(api) == []


def test_schema_overrides_types(api: Api) -> None:
    schema = json.dumps({"columns": {"size": {"dtype": "float32"}}})

    answer = api.http.post("/v1/datasets", files={"file": ("a.csv", CSV)}, data={"name": "typed", "schema": schema})

    assert answer.json()["columns"][0]["dtype"] == "float32"


def test_upload_with_a_key_is_done_once(api: Api) -> None:
    headers = {"Idempotency-Key": "up-1"}
    first, again = api.upload(headers=headers), api.upload(headers=headers)

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert api.upload(b"a\n1\n", headers=headers).status_code == 422


def test_failed_upload_frees_its_key(api: Api) -> None:
    headers = {"Idempotency-Key": "up-1"}

    assert api.upload(b"a,b\n1\n", headers=headers).status_code == 422
    assert api.upload(headers=headers).status_code == 201


def test_preview_and_list(api: Api) -> None:
    dataset = api.dataset()

    rows = api.http.get(f"/v1/datasets/{dataset}/preview", params={"rows": 2}).json()["rows"]

    assert rows == [{"size": 0, "colour": "red", "kind": "small"}, {"size": 1, "colour": "green", "kind": "small"}]
    assert [row["id"] for row in api.http.get("/v1/datasets").json()["datasets"]] == [dataset]
    assert api.http.get(f"/v1/datasets/{dataset}/preview?rows=0").status_code == 422


def test_delete_is_409_while_a_job_needs_it(api: Api) -> None:
    dataset = api.dataset()
    job = api.http.post("/v1/jobs", json=train_job(dataset)).json()["id"]

    refused = api.http.delete(f"/v1/datasets/{dataset}")
    assert refused.status_code == 409
    assert job in refused.json()["detail"]
    assert api.http.get(f"/v1/datasets/{dataset}/usage").json()["jobs"] == [job]

    with api.service.database.session() as session:
        JobRepository(session).request_cancel(job)
    assert api.http.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert api.http.get(f"/v1/datasets/{dataset}").status_code == 404


def test_upload_over_the_limit_is_413(api: Api) -> None:
    api.service.settings.__dict__["max_upload_bytes"] = 1000
    big = b"a\n" + b"1\n" * 1_000_000

    answer = api.upload(big)

    assert answer.status_code == 413
    assert directories(api) == []
    assert httpx.get(f"{api.http.base_url}/healthz", trust_env=False).status_code == 200


def test_upload_that_is_refused_early_is_cut_off(api: Api) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--xx\r\nContent-Disposition: form-data; name="unknown"\r\n\r\n'
        while sent < 200 * 2**20:
            sent += 2**20
            yield b"x" * 2**20

    headers = {"Content-Type": "multipart/form-data; boundary=xx", **api.http.headers}
    try:
        answer = httpx.post(f"{api.http.base_url}/v1/datasets", content=endless(), headers=headers, trust_env=False)
        assert answer.status_code == 422
        assert answer.headers["connection"] == "close"
    except httpx.WriteError:  # the client was faster than its own reading of the answer
        pass
    assert sent < 100 * 2**20
    assert directories(api) == []


def test_client_that_goes_away_leaves_nothing(api: Api) -> None:
    address = api.http.base_url
    head = (
        f"POST /v1/datasets HTTP/1.1\r\nHost: {address.host}\r\nAuthorization: {api.http.headers['Authorization']}\r\n"
    )
    form = "Content-Type: multipart/form-data; boundary=xx\r\nContent-Length: 100000\r\n\r\n--xx\r\n"
    with socket.create_connection((address.host, address.port or 0)) as connection:
        connection.sendall((head + form).encode())
        wait_for(lambda: directories(api) != [])
    wait_for(lambda: directories(api) == [])


def test_upload_that_is_being_read_shows_signs_of_life(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass over a file changes nothing on disk for as long as it takes."""

    def slow(file: Path, *arguments: object) -> None:
        os.utime(file, (1e9, 1e9))
        os.utime(file.parent, (1e9, 1e9))
        key = f"datasets/{file.parent.name}"
        wait_for(lambda: api.service.storage.quiet(key, time.time()) < 60)
        raise TooLarge("read long enough")

    monkeypatch.setattr("app.datasets.ingestor.INGESTOR.ingest", slow)
    assert api.upload().status_code == 413
    assert directories(api) == []


def test_full_disk_is_503_and_leaves_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **names: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("app.datasets.ingestor.INGESTOR.ingest", full)

    answer = api.upload()

    assert answer.status_code == 503
    assert "disk is full" in answer.json()["detail"]
    assert directories(api) == []


def test_distributions_are_given_for_a_label_and_chosen_columns(api: Api) -> None:
    dataset = api.dataset()

    found = api.http.get("/v1/datasets/things/distributions", params={"label": "kind", "column": ["size", "colour"]})

    assert found.status_code == 200, found.text
    body = found.json()
    assert (body["dataset"], body["rows"], body["sampled_rows"], body["label"]) == (dataset, 60, 60, "kind")
    size, colour = body["columns"]
    assert (size["histogram"]["counts"], size["strength"]["kind"]) == ([9, 9, 9, 9, 8, 8, 8], "correlation_ratio")
    assert {row["value"]: row["count"] for row in colour["top"]} == {"red": 20, "green": 20, "blue": 20}
    assert len(api.http.get(f"/v1/datasets/{dataset}/distributions").json()["columns"]) == 3
    assert api.http.get(f"/v1/datasets/{dataset}/distributions", params={"label": "no"}).status_code == 422
