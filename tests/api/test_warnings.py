"""What is no fault but worth knowing stays with data sets and jobs, wherever they are shown."""

from __future__ import annotations

from tests.api.conftest import Api, train_job


def test_warnings_of_a_data_set_are_in_every_answer_that_shows_it(api: Api) -> None:
    made = api.upload(b"zip,y\n02139,1\n10115,2\n").json()
    (warning,) = made["warnings"]
    assert warning.startswith("Line 2, column 'zip': a number that begins with a zero")
    assert api.http.get(f"/v1/datasets/{made['id']}").json()["warnings"] == [warning]
    assert api.http.get("/v1/datasets").json()["datasets"][0]["warnings"] == [warning]


def test_warnings_of_a_job_are_in_every_answer_that_shows_it(api: Api) -> None:
    rows = b"".join(b"%d,a,%s\n" % (row % 7, b"yes" if row % 2 else b"no") for row in range(40))
    dataset = api.upload(b"n,same,kind\n" + rows).json()
    body = train_job(dataset["id"])
    expected = api.http.post("/v1/jobs?dry_run=true", json=body).json()["warnings"]
    assert any("'same'" in warning for warning in expected)
    job = api.http.post("/v1/jobs", json=body).json()
    assert job["warnings"] == expected
    assert api.http.get(f"/v1/jobs/{job['id']}").json()["warnings"] == expected
    assert api.http.get("/v1/jobs").json()["jobs"][0]["warnings"] == expected


def test_names_are_shown_as_they_are_written(api: Api) -> None:
    answer = api.upload("größe,y\n1,2\n-,3\n".encode())
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Line 3, column 'größe': a dash in a column of numbers")
    assert '{"columns": {"größe": {"null_values": ["-"]}}}' in answer.json()["detail"]
